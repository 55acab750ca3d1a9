package deadweight.playground;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.charset.StandardCharsets;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class CappedOutputTest {
  static Stream<Arguments> cases() {
    return Stream.of(
        Arguments.of(bytes("abc"), 3, "abc", false),
        Arguments.of(bytes("abcd"), 3, "abc", true),
        Arguments.of(bytes("aéé"), 4, "aé", true),
        Arguments.of(bytes("aéé"), 3, "aé", true),
        Arguments.of(bytes("a😀"), 4, "a", true),
        Arguments.of(new byte[] {'a', (byte) 0xE0, (byte) 0x80, 'b'}, 3, "a\uFFFD\uFFFD", true),
        Arguments.of(new byte[] {'a', (byte) 0xFF, (byte) 0xFE, 'b'}, 9, "a\uFFFD\uFFFDb", false),
        Arguments.of(new byte[] {(byte) 0xE2, (byte) 0x82}, 9, "\uFFFD\uFFFD", false),
        Arguments.of(new byte[] {(byte) 0xED, (byte) 0xA0, (byte) 0x80}, 9, "\uFFFD\uFFFD\uFFFD", false));
  }

  @ParameterizedTest
  @MethodSource("cases")
  void keepsWhatFits(byte[] written, int limit, String wanted, boolean truncated) {
    CappedOutput output = new CappedOutput(limit);
    for (byte one : written) {
      output.write(new byte[] {one}, 1);
    }
    assertEquals(wanted, output.text());
    assertEquals(truncated, output.truncated());
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }
}
