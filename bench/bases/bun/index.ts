import { Hono } from 'hono'

const app = new Hono()
app.get('/healthz', context => context.text('ok'))
process.on('SIGTERM', () => process.exit(0))
export default { port: 8080, fetch: app.fetch }
