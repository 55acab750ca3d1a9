package deadweight.playground;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.annotation.JsonProperty;

/** The bodies of all answers, in the order in which they are written. */
final class Answers {
  private Answers() {}

  record Health(String status) {}

  record Version(String name, String version, String revision, Runtime runtime, AwkProbe.Identity awk) {}

  record Runtime(String name, String version) {}

  record Run(
      String stdout,
      String stderr,
      @JsonProperty("exit_code") int exitCode,
      @JsonProperty("duration_ms") long durationMillis,
      @JsonInclude(JsonInclude.Include.NON_DEFAULT) boolean truncated) {}

  record Form(String stdout, String stderr, @JsonInclude(JsonInclude.Include.NON_DEFAULT) boolean truncated) {}

  record Error(String code, String message) {}

  record Failed(Error error) {}

  record Stopped(
      Error error,
      String stdout,
      String stderr,
      @JsonProperty("duration_ms") long durationMillis,
      @JsonInclude(JsonInclude.Include.NON_DEFAULT) boolean truncated) {}
}
