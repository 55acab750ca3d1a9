require 'socket'
s = TCPServer.new('0.0.0.0', 8080)
trap('TERM') { exit }
loop { c = s.accept; c.gets; c.print "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"; c.close }
