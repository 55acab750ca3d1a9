package deadweight.playground;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Stream;

/** Finds out which awk it is, once. */
final class AwkProbe {
  /** Path as found, target behind symbolic links, dialect and awk's own version line. */
  record Identity(String path, String target, String dialect, String version) {}

  /**
   * Tried in turn. Busybox knows neither, and names itself in the usage text that it prints instead; mawk up to
   * 1.3.4-20200120 knows only the second.
   */
  private static final List<List<String>> VERSION_OPTIONS = List.of(List.of("--version"), List.of("-W", "version"));

  private static final String[][] MARKS = {
    {"gnu awk", "gawk"},
    {"gawk", "gawk"},
    {"mawk", "mawk"},
    {"busybox", "busybox"},
    {"goawk", "goawk"},
    {"awk version", "bwk"},
    {"original-awk", "bwk"},
  };

  private final String name;
  private final Runner runner;
  private Identity known;

  AwkProbe(String name, Runner runner) {
    this.name = name;
    this.runner = runner;
  }

  /** Finds awk on PATH; it looks each time, which notices an awk that goes away. */
  static Optional<Path> locate(String name) {
    String folders = name.contains("/") ? "" : Optional.ofNullable(System.getenv("PATH")).orElse("");
    return Stream.of(folders.split(":"))
        .map(folder -> Path.of(folder).resolve(name))
        .filter(path -> name.contains("/") || path.isAbsolute())
        .filter(path -> Files.isRegularFile(path) && Files.isExecutable(path))
        .map(Path::toAbsolutePath)
        .findFirst();
  }

  /** Null if there is no awk. */
  synchronized Identity identify() throws InterruptedException {
    Optional<Path> path = locate(name);
    if (path.isEmpty()) {
      return null;
    }
    if (known != null && known.path().equals(path.get().toString())) {
      return known;
    }
    Path target = target(path.get());
    Identity found = new Identity(path.get().toString(), target.toString(), dialect(target.getFileName().toString()), "");
    for (List<String> options : VERSION_OPTIONS) {
      String line = firstLine(options);
      String dialect = dialect(line);
      if (!dialect.equals("unknown")) {
        found = new Identity(found.path(), found.target(), dialect, line);
        known = found;
        break;
      }
    }
    return found;
  }

  private static Path target(Path path) {
    try {
      return path.toRealPath();
    } catch (IOException unreadable) {
      return path;
    }
  }

  private String firstLine(List<String> options) throws InterruptedException {
    try {
      Finished done = runner.probe(options);
      return (done.stdout() + "\n" + done.stderr()).lines().map(String::strip).filter(line -> !line.isEmpty())
          .findFirst().orElse("");
    } catch (Failure notStarted) {
      return "";
    }
  }

  /** Finds the name of an implementation in its version line or its file name. */
  static String dialect(String text) {
    String lower = text.toLowerCase(Locale.ROOT);
    for (String[] mark : MARKS) {
      if (lower.contains(mark[0])) {
        return mark[1];
      }
    }
    return "unknown";
  }
}
