"""Lists the providers by the channel that they serve."""

from __future__ import annotations

from services.activation.channels import aliyun_sms, tencent_sms, twilio_sms
from services.activation.channels.apns import APNS_PROVIDER
from services.activation.channels.audiences import GOOGLE_MIRROR, META_MIRROR, TENCENT_MIRROR
from services.activation.channels.crm import HUBSPOT_MIRROR, SALESFORCE_MIRROR
from services.activation.channels.mirrors import MirrorProvider
from services.activation.channels.objects import S3_PROVIDER
from services.activation.channels.provider import Provider
from services.activation.channels.push import FCM_PROVIDER, GETUI_PROVIDER
from services.activation.channels.robots import DINGTALK_ROBOT, FEISHU_ROBOT, WECOM_ROBOT
from services.activation.channels.wechat import WECHAT_SUBSCRIBE, WECHAT_TEMPLATE
from services.activation.channels.wecom_app import WECOM_APP
from services.activation.domain import message_channels as to_people
from services.activation.domain import mirror_channels as mirrors
from services.activation.domain.channels import Channel
from services.activation.domain.system_channels import S3

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
    to_people.Apns: APNS_PROVIDER,
    to_people.WecomApp: WECOM_APP,
    S3: S3_PROVIDER,
}
MIRROR_PROVIDERS: dict[type[Channel], MirrorProvider] = {
    mirrors.MetaAudience: META_MIRROR,
    mirrors.GoogleAudience: GOOGLE_MIRROR,
    mirrors.TencentAudience: TENCENT_MIRROR,
    mirrors.Salesforce: SALESFORCE_MIRROR,
    mirrors.Hubspot: HUBSPOT_MIRROR,
}
