// Sends the six calls with the official Segment client for Node.
import { Analytics } from '@segment/analytics-node'

const { url, key, marker } = JSON.parse(process.argv[2])
const analytics = new Analytics({ writeKey: key, host: url, flushAt: 3, maxRetries: 5 })
const failures = []
analytics.on('error', (error) => failures.push(String(error.code ?? error)))

const userId = `user-${marker}`
analytics.identify({ userId, traits: { email: `${marker}@example.cn`, name: '李雷' } })
analytics.track({ userId, event: 'Course Viewed', properties: { marker, price: 199 } })
analytics.page({ userId, anonymousId: `anon-${marker}`, name: 'Home', properties: { marker } })
analytics.screen({ userId, name: 'Main', properties: { marker } })
analytics.group({ userId, groupId: 'school-7', traits: { marker } })
analytics.alias({ userId, previousId: `anon-${marker}` })
await analytics.flush({ timeout: 60_000 })
console.log(JSON.stringify({ failures }))
