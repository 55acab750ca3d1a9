package deadweight.playground;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class RequestsTest {
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "'{\"script\":' | invalid_json",
        "'' | invalid_json",
        "'[\"script\"]' | invalid_json",
        "'null' | invalid_json",
        "'{\"script\":\"1\"} {}' | invalid_json",
        "'\uFEFF{\"script\":\"1\"}' | invalid_json",
        "'{\"script\":\"1\",\"shell\":\"sh\"}' | unknown_field",
        "'{\"Script\":\"1\"}' | unknown_field",
        "'{\"input\":\"a\"}' | missing_field",
        "'{\"script\":null}' | missing_field",
        "'{\"script\":1}' | invalid_field",
        "'{\"script\":\"1\",\"input\":[]}' | invalid_field",
        "'{\"script\":\"1\",\"args\":\"-v\"}' | invalid_field",
        "'{\"script\":\"1\",\"args\":[\"-v\",1]}' | invalid_field",
        "'{\"script\":\"1\",\"args\":[null]}' | invalid_field",
        "'{\"script\":\"a\\u0000b\"}' | nul_byte",
      })
  void wrongJson(String body, String code) {
    assertEquals(code, assertThrows(Failure.class, () -> Requests.json(bytes(body))).code());
  }

  @Test
  void jsonIsReadWhole() throws Failure {
    Job job = Requests.json(bytes(" {\"args\":[\"-v\",\"a=é\"],\"input\":\"\\ud800\\u0000\",\"script\":\"a\",\"script\":\"b\"}"));
    assertEquals(new Job("b", "\uFFFD\0", List.of("-v", "a=é")), job);
  }

  @Test
  void jsonInUtf16IsNotJson() {
    byte[] body = "{\"script\":\"\"}".getBytes(StandardCharsets.UTF_16LE);
    assertEquals("invalid_json", code(() -> Requests.json(body)));
  }

  @Test
  void sizes() throws Failure {
    String longest = "x".repeat(Job.MAX_ARGUMENT_BYTES);
    assertEquals(longest, Job.of(longest, null, List.of(longest), "script").script());
    String tooLong = longest + "x";
    assertEquals("script_too_large", code(() -> Job.of(tooLong, null, List.of(), "script")));
    assertEquals("args_too_large", code(() -> Job.of("1", null, List.of(longest, "x"), "script")));
    List<String> many = java.util.Collections.nCopies(Job.MAX_ARGUMENTS + 1, "");
    assertEquals("args_too_large", code(() -> Job.of("1", null, many, "script")));
  }

  @Test
  void forms() throws Failure {
    assertEquals(new Job("{print $1}", "a\nb", List.of()), Requests.form(bytes("awkScript=%7Bprint+%241%7D&text=a%0Ab")));
    assertEquals(new Job("{print 1; print 2}", "", List.of()), Requests.form(bytes("awkScript={print 1; print 2}")));
    assertEquals(new Job("1", "", List.of()), Requests.form(bytes("awkScript=1&awkScript=2&&")));
    assertEquals(new Job("a==1", "", List.of()), Requests.form(bytes("awkScript=a==1")));
  }

  @ParameterizedTest
  @CsvSource({
    "text=a,missing_field",
    "'',missing_field",
    "awkScript=%zz,invalid_form",
    "awkScript=%4,invalid_form",
    "awkScript=%ff,invalid_utf8",
    "%ff=%zz,invalid_form",
    "awkScript=1&args=-v,unknown_field",
  })
  void wrongForms(String body, String code) {
    assertEquals(code, code(() -> Requests.form(bytes(body))));
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  private static String code(org.junit.jupiter.api.function.Executable action) {
    return assertThrows(Failure.class, action).code();
  }
}
