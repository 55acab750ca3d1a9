package deadweight.playground;

import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;

/** Text from bytes, strictly or with one U+FFFD for each byte that is wrong, as Go does it. */
final class Utf8 {
  private static final char REPLACEMENT = '\uFFFD';

  private Utf8() {}

  static String strict(byte[] data) throws CharacterCodingException {
    return decoder().decode(ByteBuffer.wrap(data)).toString();
  }

  static String lenient(byte[] data) {
    ByteBuffer rest = ByteBuffer.wrap(data);
    CharBuffer text = CharBuffer.allocate(data.length);
    CharsetDecoder decoder = decoder();
    while (decoder.decode(rest, text, true).isError()) {
      text.put(REPLACEMENT);
      rest.position(rest.position() + 1);
      decoder.reset();
    }
    return text.flip().toString();
  }

  /** A string that can be encoded: a surrogate without its other half, which JSON can write as an escape, is replaced. */
  static String withoutLoneSurrogates(String text) {
    if (StandardCharsets.UTF_8.newEncoder().canEncode(text)) {
      return text;
    }
    StringBuilder clean = new StringBuilder(text.length());
    text.codePoints()
        .map(point -> point >= Character.MIN_SURROGATE && point <= Character.MAX_SURROGATE ? REPLACEMENT : point)
        .forEach(clean::appendCodePoint);
    return clean.toString();
  }

  private static CharsetDecoder decoder() {
    return StandardCharsets.UTF_8
        .newDecoder()
        .onMalformedInput(CodingErrorAction.REPORT)
        .onUnmappableCharacter(CodingErrorAction.REPORT);
  }
}
