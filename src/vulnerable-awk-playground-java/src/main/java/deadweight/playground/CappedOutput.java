package deadweight.playground;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.Arrays;

/** Keeps the first bytes of a stream and lets the rest pass, so that a talkative script is not blocked. */
final class CappedOutput {
  private final int limit;
  private final ByteArrayOutputStream kept = new ByteArrayOutputStream();
  private boolean cut;

  CappedOutput(int limit) {
    this.limit = limit;
  }

  /** Reads to the end of the stream. */
  void drain(InputStream stream) {
    byte[] buffer = new byte[16 << 10];
    try (stream) {
      for (int count = stream.read(buffer); count >= 0; count = stream.read(buffer)) {
        write(buffer, count);
      }
    } catch (IOException closed) {
      // the process ended; what was read until now is the output
    }
  }

  synchronized void write(byte[] data, int count) {
    int room = Math.min(count, limit - kept.size());
    kept.write(data, 0, room);
    cut |= room < count;
  }

  synchronized boolean truncated() {
    return cut;
  }

  /** What was kept; a character that the limit cut in two is dropped. */
  synchronized String text() {
    byte[] data = kept.toByteArray();
    return Utf8.lenient(cut ? Arrays.copyOf(data, data.length - splitTail(data)) : data);
  }

  /** How many bytes at the end are the beginning of a character whose rest is missing. */
  private static int splitTail(byte[] data) {
    for (int back = 1; back <= 3 && back <= data.length; back++) {
      int first = data[data.length - back] & 0xFF;
      if ((first & 0xC0) != 0x80) {
        return back < lengthOf(first) ? back : 0;
      }
    }
    return 0;
  }

  private static int lengthOf(int firstByte) {
    if (firstByte >= 0xF0 && firstByte <= 0xF4) {
      return 4;
    } else if (firstByte >= 0xE0) {
      return firstByte <= 0xEF ? 3 : 1;
    }
    return firstByte >= 0xC2 ? 2 : 1;
  }
}
