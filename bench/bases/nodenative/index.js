const Database = require("better-sqlite3");
const version = new Database(":memory:").prepare("select sqlite_version() as v").get().v;
const server = require("http").createServer((_request, response) => response.end(version));
server.listen(8080);
process.on("SIGTERM", () => server.close());
