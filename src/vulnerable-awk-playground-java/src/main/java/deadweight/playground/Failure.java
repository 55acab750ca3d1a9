package deadweight.playground;

/** An error as the caller sees it. {@code partial} is what a script that was stopped had written so far, or null. */
final class Failure extends Exception {
  private static final long serialVersionUID = 1L;
  private final int status;
  private final String code;
  private final transient Finished partial;

  Failure(int status, String code, String message) {
    this(status, code, message, null);
  }

  Failure(int status, String code, String message, Finished partial) {
    super(message, null, false, false);
    this.status = status;
    this.code = code;
    this.partial = partial;
  }

  static Failure noAwk() {
    return new Failure(503, "awk_not_found", "there is no awk on the PATH of this service");
  }

  static Failure notUtf8() {
    return new Failure(400, "invalid_utf8", "the body is not valid UTF-8");
  }

  int status() {
    return status;
  }

  String code() {
    return code;
  }

  /** The body of the answer. */
  Object answer() {
    Answers.Error error = new Answers.Error(code, getMessage());
    if (partial == null) {
      return new Answers.Failed(error);
    }
    return new Answers.Stopped(
        error, partial.stdout(), partial.stderr(), partial.duration().toMillis(), partial.truncated());
  }
}
