package deadweight.playground;

import com.fasterxml.jackson.core.JsonProcessingException;
import java.io.PrintStream;
import java.net.InetSocketAddress;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.Map;

/** Writes one JSON object a line. */
final class Log {
  private final PrintStream out;

  Log(PrintStream out) {
    this.out = out;
  }

  /** Pairs are a name and a value in turn. */
  void info(String message, Object... pairs) {
    write("INFO", message, pairs);
  }

  void warn(String message, Object... pairs) {
    write("WARN", message, pairs);
  }

  /** An address as HOST:PORT, with an IPv6 host in brackets. */
  static String shown(InetSocketAddress address) {
    String host = address.getAddress().getHostAddress();
    return (host.contains(":") ? "[" + host + "]" : host) + ":" + address.getPort();
  }

  private void write(String level, String message, Object... pairs) {
    Map<String, Object> line = new LinkedHashMap<>();
    line.put("time", Instant.now().toString());
    line.put("level", level);
    line.put("msg", message);
    for (int index = 0; index + 1 < pairs.length; index += 2) {
      line.put((String) pairs[index], pairs[index + 1]);
    }
    try {
      out.println(Json.MAPPER.writeValueAsString(line));
    } catch (JsonProcessingException impossible) {
      throw new IllegalStateException(impossible);
    }
  }
}
