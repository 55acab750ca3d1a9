local socket = require("socket")
local function file(path)
  local handle = assert(io.open(path))
  local text = handle:read("a")
  handle:close()
  return text
end
local get = {
  ["/health"] = function() return "ok" end,
  ["/prices"] = function() return "tea 3" end,
  ["/file"] = function() return file("/etc/words") end,
  ["/late"] = function() return (require("mime").b64("tea")) end,
  ["/version"] = function() return os.getenv("SHOP_VERSION") .. " " .. os.getenv("GREETING") end,
  ["/save"] = function() local out = assert(io.open("/data/last", "w")) out:write("x") out:close() return "saved" end,
  ["/user"] = function() return file("/etc/passwd"):match("\n(%w+):x:1234:") end,
}
local server = assert(socket.bind("0.0.0.0", 8080))
while true do
  local client = server:accept()
  client:settimeout(5)
  local path = (client:receive() or ""):match("^GET (%S+)")
  repeat local line = client:receive() until not line or line == ""
  local body = get[path] and get[path]() or nil
  local status = body and "200 OK" or "404 Not Found"
  body = body or "none"
  local head = "HTTP/1.1 " .. status .. "\r\nContent-Type: text/plain\r\nContent-Length: " .. #body
  client:send(head .. "\r\nConnection: close\r\n\r\n" .. body)
  client:close()
end
