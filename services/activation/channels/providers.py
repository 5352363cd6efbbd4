"""Lists the providers by the channel whose messages they send."""

from __future__ import annotations

from services.activation.channels import aliyun_sms, tencent_sms, twilio_sms
from services.activation.channels.audiences import GOOGLE_PROVIDER, META_PROVIDER
from services.activation.channels.crm import HUBSPOT_PROVIDER, SALESFORCE_PROVIDER
from services.activation.channels.objects import S3_PROVIDER
from services.activation.channels.provider import Provider
from services.activation.channels.push import FCM_PROVIDER, GETUI_PROVIDER
from services.activation.channels.robots import DINGTALK_ROBOT, FEISHU_ROBOT, WECOM_ROBOT
from services.activation.channels.wechat import WECHAT_SUBSCRIBE, WECHAT_TEMPLATE
from services.activation.domain import channels
from services.activation.domain.channels import Channel

PROVIDERS: dict[type[Channel], Provider] = {
    channels.AliyunSms: aliyun_sms.PROVIDER,
    channels.TencentSms: tencent_sms.PROVIDER,
    channels.TwilioSms: twilio_sms.PROVIDER,
    channels.DingtalkRobot: DINGTALK_ROBOT,
    channels.WecomRobot: WECOM_ROBOT,
    channels.FeishuRobot: FEISHU_ROBOT,
    channels.WechatTemplate: WECHAT_TEMPLATE,
    channels.WechatSubscribe: WECHAT_SUBSCRIBE,
    channels.Fcm: FCM_PROVIDER,
    channels.Getui: GETUI_PROVIDER,
    channels.S3: S3_PROVIDER,
    channels.MetaAudience: META_PROVIDER,
    channels.GoogleAudience: GOOGLE_PROVIDER,
    channels.Salesforce: SALESFORCE_PROVIDER,
    channels.Hubspot: HUBSPOT_PROVIDER,
}
