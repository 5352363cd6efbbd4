// Gives the pages their arguments, makes the calls that all clients have, and reports errors.
const { url, key, marker, leaves } = Object.fromEntries(new URLSearchParams(location.search))
const report = (error) => fetch('/report', { method: 'POST', body: String(error), keepalive: true })
addEventListener('error', (event) => report(event.message))
addEventListener('unhandledrejection', (event) => report(event.reason))

// Segment's client has put a call into its batch when the promise of the call is fulfilled.
const sendCalls = async (client) => {
  await Promise.all([
    client.identify(`user-${marker}`, { email: `${marker}@example.cn`, name: '李雷' }),
    client.track('Course Viewed', { marker, price: 199 }),
    client.page('Home', { marker }),
    client.group('school-7', { marker }),
    client.alias(`user-${marker}`, `anon-${marker}`),
  ])
  if (leaves) location.href = '/pages/left.html'
}
