package x;

import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import javax.net.ssl.SSLContext;

/** Tells its Java, and needs a trust store to start. */
public class App {
  public static void main(String[] words) throws Exception {
    SSLContext.getDefault();
    final byte[] body = System.getProperty("java.version").getBytes("UTF-8");
    HttpServer server = HttpServer.create(new InetSocketAddress(8080), 0);
    server.createContext("/", exchange -> {
      exchange.sendResponseHeaders(200, body.length);
      exchange.getResponseBody().write(body);
      exchange.close();
    });
    server.start();
  }
}
