require "socket"
require "json"

server = TCPServer.new("0.0.0.0", Integer(ENV.fetch("PORT", "4567")))
loop do
  client = server.accept
  path = client.gets.to_s.split[1]
  nil until client.gets.to_s.strip.empty?
  body = JSON.generate(path == "/health" ? { up: true } : { path: path })
  client.write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: #{body.bytesize}\r\n")
  client.write("Connection: close\r\n\r\n#{body}")
  client.close
end
