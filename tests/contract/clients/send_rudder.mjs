// Sends the six calls with the official RudderStack client for Node.
import RudderAnalytics from '@rudderstack/rudder-sdk-node'

const { url, key, marker } = JSON.parse(process.argv[2])
const client = new RudderAnalytics(key, { dataPlaneUrl: url, flushAt: 3, flushInterval: 100 })
const failures = []
const report = (error) => error && failures.push(String(error.message ?? error))

const userId = `user-${marker}`
client.identify({ userId, traits: { email: `${marker}@example.cn`, name: '李雷' } }, report)
client.track({ userId, event: 'Course Viewed', properties: { marker, price: 199 } }, report)
client.page({ userId, anonymousId: `anon-${marker}`, name: 'Home', properties: { marker } }, report)
client.screen({ userId, name: 'Main', properties: { marker } }, report)
client.group({ userId, groupId: 'school-7', traits: { marker } }, report)
client.alias({ userId, previousId: `anon-${marker}` }, report)
await client.flush()
await new Promise((resolve) => setTimeout(resolve, 1_000))
await client.flush()
console.log(JSON.stringify({ failures }))
process.exit(0)
