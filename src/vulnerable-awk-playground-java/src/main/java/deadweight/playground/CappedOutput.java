package deadweight.playground;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;

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
    return Utf8.lenient(kept.toByteArray(), !cut);
  }
}
