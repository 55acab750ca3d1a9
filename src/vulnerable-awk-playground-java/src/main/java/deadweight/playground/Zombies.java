package deadweight.playground;

import java.io.IOException;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Set;

/**
 * Collects orphans that have ended.
 *
 * <p>As process 1 of a container without an init we inherit what scripts leave behind; each stays a zombie, counted against
 * the pid limit, until it is collected. Java waits only for processes that it started. The JDK's own waitpid can be
 * reached if the virtual machine is started with {@code --add-opens java.base/java.lang=ALL-UNNAMED} (for example in
 * JDK_JAVA_OPTIONS); without that, run the container with an init.
 */
final class Zombies {
  private final Method waitForProcess;
  /** Held from the start of a process to its registration and during a collection. */
  private final Object lock = new Object();
  private final Set<Long> awaited = new HashSet<>();

  Zombies() {
    waitForProcess = reachable();
  }

  boolean canCollect() {
    return waitForProcess != null;
  }

  /** Starts a process that somebody waits for, so that it is never taken for an orphan. */
  Process start(ProcessBuilder builder) throws IOException {
    synchronized (lock) {
      Process process = builder.start();
      awaited.add(process.pid());
      return process;
    }
  }

  void release(Process process) {
    synchronized (lock) {
      awaited.remove(process.pid());
    }
  }

  /** Takes away the zombies among our children that nobody waits for. */
  void collect() {
    if (!canCollect()) {
      return;
    }
    synchronized (lock) {
      ProcessHandle.current()
          .children()
          .map(ProcessHandle::pid)
          .filter(pid -> !awaited.contains(pid) && isZombie(pid))
          .forEach(this::collect);
    }
  }

  private void collect(long pid) {
    try {
      waitForProcess.invoke(null, pid, true);
    } catch (ReflectiveOperationException failed) {
      throw new IllegalStateException(failed);
    }
  }

  /** Whether a process has ended and waits to be collected, from proc(5): the state stands after the name's last bracket. */
  static boolean isZombie(long pid) {
    try {
      byte[] content = Files.readAllBytes(Path.of("/proc", Long.toString(pid), "stat"));
      String line = new String(content, StandardCharsets.ISO_8859_1);
      int state = line.lastIndexOf(')') + 2;
      return state < line.length() && line.charAt(state) == 'Z';
    } catch (IOException gone) {
      return false;
    }
  }

  private static Method reachable() {
    try {
      Method found =
          Class.forName("java.lang.ProcessHandleImpl")
              .getDeclaredMethod("waitForProcessExit0", long.class, boolean.class);
      return found.trySetAccessible() ? found : null;
    } catch (ReflectiveOperationException otherJdk) {
      return null;
    }
  }
}
