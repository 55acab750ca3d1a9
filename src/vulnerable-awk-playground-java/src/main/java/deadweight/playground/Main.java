package deadweight.playground;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.util.function.UnaryOperator;

/**
 * Runs AWK scripts that its callers provide; the Java twin of the Go service of the same name.
 *
 * <p>It is vulnerable on purpose: whoever can reach it can run programs as its user. Never run it outside a container or on
 * anything but a loopback address.
 */
public final class Main {
  static final int EXIT_OK = 0;
  static final int EXIT_FAILURE = 1;
  static final int EXIT_USAGE = 2;
  /** The service is up and answers on threads of its own. */
  private static final int STILL_RUNNING = -1;

  private Main() {}

  public static void main(String[] arguments) {
    int code = command(arguments, System::getenv, System.out, System.err);
    if (code != STILL_RUNNING) {
      System.exit(code);
    }
  }

  /** Main without the globals; gives the exit code. */
  static int command(String[] arguments, UnaryOperator<String> getenv, PrintStream stdout, PrintStream stderr) {
    String mode = arguments.length == 0 ? "serve" : arguments[0].replaceFirst("^--", "-");
    try {
      if (arguments.length > 1) {
        throw new IllegalArgumentException("unexpected argument: " + arguments[1]);
      }
      Settings settings = Settings.from(getenv);
      switch (mode) {
        case "-version" -> stdout.println(BuildIdentity.current());
        case "-healthcheck" -> Healthcheck.ask(settings.listen());
        case "serve" -> {
          if (!argumentsAreUtf8()) {
            throw new IllegalArgumentException("programs cannot be given UTF-8 in this locale: set LC_ALL=C.UTF-8");
          }
          new Service(settings, new Log(stdout)).startUntilSignal();
          return STILL_RUNNING;
        }
        default -> throw new IllegalArgumentException("unexpected argument: " + arguments[0]);
      }
      return EXIT_OK;
    } catch (IllegalArgumentException wrong) {
      stderr.println(BuildIdentity.current().name() + ": " + wrong.getMessage());
      return EXIT_USAGE;
    } catch (IOException failed) {
      stderr.println(BuildIdentity.current().name() + ": " + failed.getMessage());
      return EXIT_FAILURE;
    }
  }

  /**
   * Whether a script reaches awk as it was sent. ProcessBuilder encodes arguments in the default charset up to Java 17 and
   * in the locale's charset from 18 on; where that is not UTF-8, each foreign character silently becomes a question mark.
   */
  static boolean argumentsAreUtf8() {
    Charset used =
        Runtime.version().feature() < 18
            ? Charset.defaultCharset()
            : Charset.forName(System.getProperty("sun.jnu.encoding", "US-ASCII"));
    return used.equals(StandardCharsets.UTF_8);
  }
}
