package deadweight.playground;

import com.fasterxml.jackson.databind.JsonNode;
import com.sun.net.httpserver.HttpExchange;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Reads requests, and says which rule a bad one breaks. */
final class Requests {
  private static final Set<String> JSON_FIELDS = Set.of("script", "input", "args");

  private Requests() {}

  /** The whole body, which is valid UTF-8. */
  static byte[] body(HttpExchange exchange, String mediaType, int limit) throws Failure {
    String given = exchange.getRequestHeaders().getFirst("Content-Type");
    if (given == null || !given.split(";", 2)[0].strip().equalsIgnoreCase(mediaType)) {
      throw new Failure(415, "unsupported_media_type", "this path takes a body of type " + mediaType);
    }
    byte[] body;
    try {
      InputStream stream = exchange.getRequestBody();
      body = stream.readNBytes(limit + 1);
      if (body.length > limit) {
        // A caller who is still writing would meet a reset connection instead of this answer: take some more, unread.
        discard(stream, limit);
      }
    } catch (IOException unreadable) {
      throw new Failure(400, "unreadable_body", "the body could not be read to its end");
    }
    if (body.length > limit) {
      throw new Failure(413, "request_too_large", "the body is larger than " + limit + " bytes");
    }
    if (!Utf8.isValid(body)) {
      throw Failure.notUtf8();
    }
    return body;
  }

  /** Reads {"script", "input", "args"}. */
  static Job json(byte[] body) throws Failure {
    JsonNode fields = isOtherEncoding(body) ? null : parse(body);
    if (fields == null || fields.isMissingNode()) {
      throw new Failure(400, "invalid_json", "the body is not valid JSON");
    }
    if (!fields.isObject()) {
      throw new Failure(400, "invalid_json", "the body is not a JSON object");
    }
    for (Iterator<String> names = fields.fieldNames(); names.hasNext(); ) {
      if (!JSON_FIELDS.contains(names.next())) {
        throw new Failure(400, "unknown_field", "a field other than script, input and args");
      }
    }
    String script = string(fields.get("script"), "script", "a string");
    String input = string(fields.get("input"), "input", "a string");
    return Job.of(script, input, strings(fields.get("args")), "script");
  }

  /**
   * Reads awkScript and text. A plain ";" is taken as it stands: scripts typed after curl's -d are full of them. Of a
   * repeated field the first one counts.
   */
  static Job form(byte[] body) throws Failure {
    Map<String, String> fields = new HashMap<>();
    for (String pair : text(body).split("&")) {
      if (pair.isEmpty()) {
        continue;
      }
      String[] parts = pair.split("=", 2);
      byte[] rawName = unescape(parts[0]);
      byte[] rawValue = unescape(parts.length == 2 ? parts[1] : "");
      String name = text(rawName);
      String value = text(rawValue);
      if (!name.equals("awkScript") && !name.equals("text")) {
        throw new Failure(400, "unknown_field", "a field other than awkScript and text");
      }
      fields.putIfAbsent(name, value);
    }
    return Job.of(fields.get("awkScript"), fields.get("text"), List.of(), "awkScript");
  }

  /**
   * Jackson guesses the encoding of bytes: it would skip a byte order mark and read UTF-16, which JSON does not allow (RFC
   * 8259, section 8.1). Either shows in the first bytes, the latter as a NUL, which no JSON document begins with.
   */
  private static boolean isOtherEncoding(byte[] body) {
    int first = Math.min(4, body.length);
    String start = new String(body, 0, first, StandardCharsets.ISO_8859_1);
    return start.startsWith("\u00EF\u00BB\u00BF") || start.indexOf('\0') >= 0;
  }

  private static JsonNode parse(byte[] body) {
    try {
      return Json.MAPPER.readTree(body);
    } catch (IOException notJson) {
      return null;
    }
  }

  private static String string(JsonNode value, String field, String wanted) throws Failure {
    if (value == null || value.isNull()) {
      return null;
    }
    if (!value.isTextual()) {
      throw new Failure(400, "invalid_field", "the field " + field + " is not " + wanted);
    }
    return Utf8.withoutLoneSurrogates(value.textValue());
  }

  private static List<String> strings(JsonNode value) throws Failure {
    List<String> words = new ArrayList<>();
    if (value == null || value.isNull()) {
      return words;
    }
    boolean right = value.isArray();
    for (JsonNode word : value) {
      right &= word.isTextual();
      words.add(word.isTextual() ? Utf8.withoutLoneSurrogates(word.textValue()) : "");
    }
    if (!right) {
      throw new Failure(400, "invalid_field", "the field args is not a list of strings");
    }
    return words;
  }

  /** Undoes percent encoding. URLDecoder would replace bytes that are not UTF-8 without a word. */
  private static byte[] unescape(String escaped) throws Failure {
    byte[] given = escaped.getBytes(StandardCharsets.UTF_8);
    ByteArrayOutputStream plain = new ByteArrayOutputStream(given.length);
    for (int index = 0; index < given.length; index++) {
      if (given[index] != '%') {
        plain.write(given[index] == '+' ? ' ' : given[index]);
        continue;
      }
      int high = index + 1 < given.length ? Character.digit(given[index + 1], 16) : -1;
      int low = index + 2 < given.length ? Character.digit(given[index + 2], 16) : -1;
      if (high < 0 || low < 0) {
        throw new Failure(400, "invalid_form", "the form has a % that two hex digits do not follow");
      }
      plain.write(high << 4 | low);
      index += 2;
    }
    return plain.toByteArray();
  }

  private static String text(byte[] data) throws Failure {
    try {
      return Utf8.strict(data);
    } catch (CharacterCodingException wrong) {
      throw Failure.notUtf8();
    }
  }

  private static void discard(InputStream stream, int most) throws IOException {
    byte[] buffer = new byte[64 << 10];
    for (int left = most; left > 0; ) {
      int count = stream.read(buffer, 0, Math.min(left, buffer.length));
      if (count < 0) {
        return;
      }
      left -= count;
    }
  }
}
