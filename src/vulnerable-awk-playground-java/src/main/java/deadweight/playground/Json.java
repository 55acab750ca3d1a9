package deadweight.playground;

import com.fasterxml.jackson.core.JsonFactoryBuilder;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.json.JsonWriteFeature;
import com.fasterxml.jackson.core.JsonpCharacterEscapes;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.util.Arrays;

/** One way to write and read JSON, chosen so that the bytes are those of Go's encoding/json. */
final class Json {
  static final ObjectMapper MAPPER =
      JsonMapper.builder(
              new JsonFactoryBuilder()
                  .disable(JsonWriteFeature.WRITE_HEX_UPPER_CASE)
                  .characterEscapes(JsonpCharacterEscapes.instance())
                  // The size of a request is limited before it is parsed.
                  .streamReadConstraints(
                      StreamReadConstraints.builder()
                          .maxNestingDepth(10_000)
                          .maxStringLength(Integer.MAX_VALUE)
                          .maxNameLength(Integer.MAX_VALUE)
                          .maxNumberLength(Integer.MAX_VALUE)
                          .build())
                  .build())
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .build();

  private Json() {}

  /** One document and a line feed, in UTF-8. */
  static byte[] bytes(Object content) {
    try {
      byte[] written = MAPPER.writeValueAsBytes(content);
      byte[] line = Arrays.copyOf(written, written.length + 1);
      line[written.length] = '\n';
      return line;
    } catch (JsonProcessingException impossible) {
      throw new IllegalStateException(impossible);
    }
  }
}
