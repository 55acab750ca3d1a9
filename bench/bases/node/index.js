const app = require("express")();

app.get("/healthz", (_, answer) => answer.send("ok"));
app.listen(8080);
process.on("SIGTERM", () => process.exit(0));
