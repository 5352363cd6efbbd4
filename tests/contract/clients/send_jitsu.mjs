// Sends three calls with the official Jitsu client, in its mode for servers.
import { jitsuAnalytics } from '@jitsu/js'

const { url, key, marker } = JSON.parse(process.argv[2])
const failures = []
const client = jitsuAnalytics({
  host: url,
  writeKey: `${key}:secret`,
  s2s: true,
  fetch,
  errorPolicy: 'rethrow',
})
for (const send of [
  () => client.identify(`user-${marker}`, { email: `${marker}@example.cn` }),
  () => client.track('Course Viewed', { marker, price: 199 }),
  () => client.page({ name: 'Home', marker }),
]) {
  await send().catch((error) => failures.push(String(error.message ?? error)))
}
console.log(JSON.stringify({ failures }))
process.exit(0)
