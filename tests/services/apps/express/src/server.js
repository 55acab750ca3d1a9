const express = require("express");

const app = express();
app.get("/healthz", (_request, response) => response.json({ up: true }));
app.get("/menu", (_request, response) => response.json(["tea", "milk"]));
const server = app.listen(process.env.PORT || 3000);
process.on("SIGTERM", () => server.close());
