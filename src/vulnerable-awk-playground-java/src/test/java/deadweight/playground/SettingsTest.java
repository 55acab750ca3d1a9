package deadweight.playground;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class SettingsTest {
  @Test
  void keepTheirDefaults() {
    Settings wanted = new Settings(new Settings.Address("", 8080), "awk", Duration.ofSeconds(5), 8 << 20, 1 << 20, 8);
    assertEquals(wanted, Settings.from(name -> null));
    assertEquals(wanted, Settings.from(name -> ""));
  }

  @Test
  void areRead() {
    Map<String, String> given =
        Map.of(
            "LISTEN_ADDR", "[::1]:99",
            "AWK_BINARY", "gawk",
            "AWK_TIMEOUT", "250ms",
            "AWK_MAX_REQUEST_BYTES", "10",
            "AWK_MAX_OUTPUT_BYTES", "20",
            "AWK_CONCURRENCY", "3");
    Settings wanted = new Settings(new Settings.Address("::1", 99), "gawk", Duration.ofMillis(250), 10, 20, 3);
    assertEquals(wanted, Settings.from(given::get));
  }

  @ParameterizedTest
  @CsvSource({
    "LISTEN_ADDR,8080",
    "LISTEN_ADDR,localhost:99999",
    "AWK_TIMEOUT,5",
    "AWK_TIMEOUT,0s",
    "AWK_TIMEOUT,61m",
    "AWK_TIMEOUT,999999999m",
    "AWK_TIMEOUT,-1s",
    "AWK_MAX_REQUEST_BYTES,8MB",
    "AWK_MAX_OUTPUT_BYTES,0",
    "AWK_CONCURRENCY,1025",
    "AWK_CONCURRENCY,99999999999999999999",
  })
  void wrongOnesNameTheVariable(String variable, String value) {
    IllegalArgumentException wrong =
        assertThrows(
            IllegalArgumentException.class, () -> Settings.from(name -> name.equals(variable) ? value : null));
    assertTrue(wrong.getMessage().startsWith(variable + ": "), wrong.getMessage());
  }

  @ParameterizedTest
  @CsvSource({"-nope,:1,-nope", "stray,:1,stray", "-version,nonsense,LISTEN_ADDR"})
  void wrongUseExitsWithTwo(String argument, String address, String text) {
    ByteArrayOutputStream stderr = new ByteArrayOutputStream();
    PrintStream stream = new PrintStream(stderr, true, StandardCharsets.UTF_8);
    int code =
        Main.command(new String[] {argument}, name -> name.equals("LISTEN_ADDR") ? address : null, stream, stream);
    assertEquals(Main.EXIT_USAGE, code);
    assertTrue(stderr.toString(StandardCharsets.UTF_8).contains(text), stderr.toString(StandardCharsets.UTF_8));
  }
}
