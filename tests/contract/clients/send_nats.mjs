// Publishes JSON to JetStream: an event twice with one Nats-Msg-Id, and one twice with one messageId.
import { connect, headers } from '@nats-io/transport-node'
import { jetstream } from '@nats-io/jetstream'

const { url, inboxPrefix, key, marker, subject } = JSON.parse(process.argv[2])
const { username, password, host } = new URL(url)
const connection = await connect({ servers: host, user: username, pass: password, inboxPrefix })
const stream = jetstream(connection)

const publish = async (event, messageId) => {
  const sent = headers()
  sent.set('Authorization', `Bearer ${key}`)
  sent.set('Content-Type', 'application/json')
  if (messageId) sent.set('Nats-Msg-Id', messageId)
  const ack = await stream.publish(subject, JSON.stringify(event), { headers: sent })
  return { stream: ack.stream, duplicate: ack.duplicate ?? false }
}
const call = { type: 'track', event: 'Course Viewed', userId: `user-${marker}`, properties: { marker } }
const acks = [
  await publish(call, `${marker}-1`),
  await publish(call, `${marker}-1`),
  await publish({ ...call, messageId: `${marker}-2` }),
  await publish({ ...call, messageId: `${marker}-2` }),
]
console.log(JSON.stringify({ acks }))
await connection.drain()
