package deadweight.playground;

import java.io.IOException;
import java.io.InputStream;
import java.util.Properties;

/** What the build wrote into application.properties. */
record BuildIdentity(String name, String version, String revision) {
  private static final BuildIdentity CURRENT = read();

  static BuildIdentity current() {
    return CURRENT;
  }

  @Override
  public String toString() {
    return name + " " + version + " (revision " + revision + ")";
  }

  private static BuildIdentity read() {
    Properties values = new Properties();
    try (InputStream content = BuildIdentity.class.getResourceAsStream("/application.properties")) {
      if (content != null) {
        values.load(content);
      }
    } catch (IOException unreadable) {
      // the fallbacks below say that nothing is known
    }
    return new BuildIdentity(
        values.getProperty("name", "vulnerable-awk-playground"),
        values.getProperty("version", "dev"),
        values.getProperty("revision", "unknown"));
  }
}
