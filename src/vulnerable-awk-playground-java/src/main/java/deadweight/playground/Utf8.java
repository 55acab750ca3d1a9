package deadweight.playground;

import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CoderResult;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;

/** Text from bytes, strictly or with one U+FFFD for each byte that is wrong, as Go does it. */
final class Utf8 {
  private static final char REPLACEMENT = '\uFFFD';

  private Utf8() {}

  static String strict(byte[] data) throws CharacterCodingException {
    return decoder().decode(ByteBuffer.wrap(data)).toString();
  }

  /** Whether the bytes are UTF-8, found out without a copy of them. */
  static boolean isValid(byte[] data) {
    ByteBuffer rest = ByteBuffer.wrap(data);
    CharBuffer text = CharBuffer.allocate(8192);
    CharsetDecoder decoder = decoder();
    while (true) {
      CoderResult result = decoder.decode(rest, text.clear(), true);
      if (!result.isOverflow()) {
        return result.isUnderflow();
      }
    }
  }

  /** A character that the end cuts in two is wrong where the data is {@code whole}, and dropped where it goes on. */
  static String lenient(byte[] data, boolean whole) {
    ByteBuffer rest = ByteBuffer.wrap(data);
    CharBuffer text = CharBuffer.allocate(data.length);
    CharsetDecoder decoder = decoder();
    while (decoder.decode(rest, text, whole).isError()) {
      text.put(REPLACEMENT);
      rest.position(rest.position() + 1);
      decoder.reset();
    }
    return text.flip().toString();
  }

  /** A string that can be encoded: a surrogate without its other half, which JSON can write as an escape, is replaced. */
  static String withoutLoneSurrogates(String text) {
    if (text.codePoints().noneMatch(Utf8::isSurrogate)) {
      return text;
    }
    StringBuilder clean = new StringBuilder(text.length());
    text.codePoints()
        .map(point -> isSurrogate(point) ? REPLACEMENT : point)
        .forEach(clean::appendCodePoint);
    return clean.toString();
  }

  private static boolean isSurrogate(int point) {
    return point >= Character.MIN_SURROGATE && point <= Character.MAX_SURROGATE;
  }

  private static CharsetDecoder decoder() {
    return StandardCharsets.UTF_8
        .newDecoder()
        .onMalformedInput(CodingErrorAction.REPORT)
        .onUnmappableCharacter(CodingErrorAction.REPORT);
  }
}
