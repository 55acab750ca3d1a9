import { Hono } from 'hono'
const app = new Hono(); app.get('/healthz', c => c.text('ok'))
export default { port: 8080, fetch: app.fetch }
