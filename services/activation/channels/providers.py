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
from services.activation.domain import message_channels as to_people
from services.activation.domain import mirror_channels as mirrors
from services.activation.domain import system_channels as to_systems
from services.activation.domain.channels import Channel

PROVIDERS: dict[type[Channel], Provider] = {
    to_people.AliyunSms: aliyun_sms.PROVIDER,
    to_people.TencentSms: tencent_sms.PROVIDER,
    to_people.TwilioSms: twilio_sms.PROVIDER,
    to_people.DingtalkRobot: DINGTALK_ROBOT,
    to_people.WecomRobot: WECOM_ROBOT,
    to_people.FeishuRobot: FEISHU_ROBOT,
    to_people.WechatTemplate: WECHAT_TEMPLATE,
    to_people.WechatSubscribe: WECHAT_SUBSCRIBE,
    to_people.Fcm: FCM_PROVIDER,
    to_people.Getui: GETUI_PROVIDER,
    to_systems.S3: S3_PROVIDER,
    mirrors.MetaAudience: META_PROVIDER,
    mirrors.GoogleAudience: GOOGLE_PROVIDER,
    mirrors.Salesforce: SALESFORCE_PROVIDER,
    mirrors.Hubspot: HUBSPOT_PROVIDER,
}
