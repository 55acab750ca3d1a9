package deadweight.playground;

import java.time.Duration;
import java.util.Map;
import java.util.function.UnaryOperator;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The service's limits, from the environment. Sizes are bytes. */
record Settings(
    Address listen, String awk, Duration timeout, int maxRequestBytes, int maxOutputBytes, int concurrency) {

  /** Where to listen; an empty host means every interface. */
  record Address(String host, int port) {
    private static final Pattern FORM = Pattern.compile("(?:\\[([^\\]]*)\\]|([^:\\[\\]]*)):([0-9]{1,5})");

    static Address parse(String value) {
      Matcher parts = FORM.matcher(value);
      if (!parts.matches() || Integer.parseInt(parts.group(3)) > 65535) {
        throw new IllegalArgumentException("LISTEN_ADDR: \"" + value + "\" is not HOST:PORT or :PORT");
      }
      String host = parts.group(1) == null ? parts.group(2) : parts.group(1);
      return new Address(host, Integer.parseInt(parts.group(3)));
    }
  }

  private static final Pattern DURATION = Pattern.compile("([0-9]{1,9})(ms|s|m)");
  private static final Map<String, Long> MILLIS = Map.of("ms", 1L, "s", 1000L, "m", 60_000L);

  /** Reads the environment; what is unset or empty keeps its default. Throws IllegalArgumentException naming the variable. */
  static Settings from(UnaryOperator<String> getenv) {
    return new Settings(
        Address.parse(given(getenv, "LISTEN_ADDR", ":8080")),
        given(getenv, "AWK_BINARY", "awk"),
        duration("AWK_TIMEOUT", given(getenv, "AWK_TIMEOUT", "5s")),
        number(getenv, "AWK_MAX_REQUEST_BYTES", 8 << 20, 1 << 30),
        number(getenv, "AWK_MAX_OUTPUT_BYTES", 1 << 20, 1 << 30),
        number(getenv, "AWK_CONCURRENCY", 8, 1024));
  }

  private static String given(UnaryOperator<String> getenv, String name, String fallback) {
    String value = getenv.apply(name);
    return value == null || value.isEmpty() ? fallback : value;
  }

  private static int number(UnaryOperator<String> getenv, String name, int fallback, int most) {
    String value = given(getenv, name, Integer.toString(fallback));
    try {
      long parsed = Long.parseLong(value);
      if (parsed >= 1 && parsed <= most) {
        return (int) parsed;
      }
    } catch (NumberFormatException notOne) {
      // told below, together with numbers that are out of range
    }
    throw new IllegalArgumentException(name + ": \"" + value + "\" is not a whole number from 1 to " + most);
  }

  private static Duration duration(String name, String value) {
    Matcher parts = DURATION.matcher(value);
    if (!parts.matches()) {
      throw new IllegalArgumentException(name + ": \"" + value + "\" is not a duration such as 500ms, 5s or 1m");
    }
    Duration parsed = Duration.ofMillis(Long.parseLong(parts.group(1)) * MILLIS.get(parts.group(2)));
    if (parsed.isZero() || parsed.compareTo(Duration.ofHours(1)) > 0) {
      throw new IllegalArgumentException(name + ": \"" + value + "\" is not between 1ms and 60m");
    }
    return parsed;
  }
}
