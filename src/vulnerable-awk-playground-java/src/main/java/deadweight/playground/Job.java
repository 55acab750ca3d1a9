package deadweight.playground;

import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * One script to run. {@code args} come before the script on awk's command line, so a caller can pass options: that injection
 * is one of the holes this service is there for.
 */
record Job(String script, String input, List<String> args) {
  /** What Linux lets one argument of a program have, less its closing NUL (MAX_ARG_STRLEN in execve(2)). */
  static final int MAX_ARGUMENT_BYTES = (128 << 10) - 1;

  static final int MAX_ARGUMENTS = 64;

  /** Applies the rules that both ways in share. */
  static Job of(String script, String input, List<String> args, String scriptField) throws Failure {
    if (script == null) {
      throw new Failure(400, "missing_field", "the field " + scriptField + " is missing");
    }
    if (size(script) > MAX_ARGUMENT_BYTES) {
      throw new Failure(413, "script_too_large", "the script is larger than " + MAX_ARGUMENT_BYTES + " bytes");
    }
    int total = args.stream().mapToInt(Job::size).sum();
    if (args.size() > MAX_ARGUMENTS || total > MAX_ARGUMENT_BYTES) {
      throw new Failure(
          413,
          "args_too_large",
          "more than " + MAX_ARGUMENTS + " args, or more than " + MAX_ARGUMENT_BYTES + " bytes of them");
    }
    if ((script + String.join("", args)).indexOf('\0') >= 0) {
      throw new Failure(400, "nul_byte", "neither the script nor args can hold a NUL character");
    }
    return new Job(script, input == null ? "" : input, List.copyOf(args));
  }

  private static int size(String text) {
    return text.getBytes(StandardCharsets.UTF_8).length;
  }
}
