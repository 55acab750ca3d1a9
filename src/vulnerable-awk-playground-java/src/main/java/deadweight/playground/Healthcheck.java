package deadweight.playground;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;

/** Asks a running service for /healthz, for images that hold no curl. */
final class Healthcheck {
  private Healthcheck() {}

  static void ask(Settings.Address listen) throws IOException {
    InetAddress host = InetAddress.getByName(listen.host().isEmpty() ? "127.0.0.1" : listen.host());
    if (host.isAnyLocalAddress()) {
      host = InetAddress.getByName("127.0.0.1");
    }
    try (Socket connection = new Socket()) {
      connection.connect(new InetSocketAddress(host, listen.port()), 2000);
      connection.setSoTimeout(3000);
      connection.getOutputStream().write("GET /healthz HTTP/1.0\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
      String status =
          new BufferedReader(new InputStreamReader(connection.getInputStream(), StandardCharsets.US_ASCII)).readLine();
      if (status == null || !status.matches("HTTP/1\\.[01] 200( .*)?")) {
        throw new IOException("unhealthy: " + status);
      }
    }
  }
}
