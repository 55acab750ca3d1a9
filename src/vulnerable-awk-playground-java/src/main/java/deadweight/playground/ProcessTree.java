package deadweight.playground;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Comparator;
import java.util.Set;
import java.util.UUID;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * The processes of one run, and how to end them all.
 *
 * <p>Java cannot put a child in a process group of its own, so there is nothing to kill at one stroke. Instead each run marks
 * the environment that awk and everything below it inherits. To end a run we look for processes that descend from awk or
 * carry the mark, kill what we find, and look again until there is nothing left or the time is up: a process that forks
 * faster than we look can outlive that, and so can an orphan that cleared its environment. The container's pid limit is what
 * stops those.
 */
final class ProcessTree {
  private static final String VARIABLE = "AWK_PLAYGROUND_RUN";
  private static final Duration PATIENCE = Duration.ofSeconds(2);

  private final String id = UUID.randomUUID().toString();
  private final byte[] mark = (VARIABLE + "=" + id).getBytes(StandardCharsets.US_ASCII);

  void prepare(ProcessBuilder builder) {
    builder.environment().put(VARIABLE, id);
  }

  /** Kills awk and everything that belongs to the run. Whether nothing was left at the end. */
  boolean kill(Process root) {
    // Once awk is dead its descendants are orphans and no longer to be found below it: collect them first.
    Set<ProcessHandle> found = members(root.descendants());
    // By its handle: Process.destroyForcibly would close the pipes too, and output that is still in them would be lost.
    root.toHandle().destroyForcibly();
    return killAll(found);
  }

  /** Kills what carries the mark, where awk itself is not known. */
  boolean killMarked() {
    return killAll(members(Stream.empty()));
  }

  private boolean killAll(Set<ProcessHandle> first) {
    Set<ProcessHandle> found = first;
    long end = System.nanoTime() + PATIENCE.toNanos();
    while (!found.isEmpty()) {
      // The older ones first: a shell that outlives its child would say "Killed" in the script's name.
      found.stream().sorted(Comparator.comparingLong(ProcessHandle::pid)).forEach(ProcessHandle::destroyForcibly);
      if (System.nanoTime() > end) {
        return false;
      }
      pause();
      found = members(Stream.empty());
    }
    return true;
  }

  private Set<ProcessHandle> members(Stream<ProcessHandle> known) {
    Stream<ProcessHandle> marked = ProcessHandle.allProcesses().filter(this::isMarked);
    return Stream.concat(known, marked)
        .filter(process -> !Zombies.isZombie(process.pid()))
        .collect(Collectors.toSet());
  }

  private boolean isMarked(ProcessHandle process) {
    try {
      byte[] environment = Files.readAllBytes(Path.of("/proc", Long.toString(process.pid()), "environ"));
      return contains(environment, mark);
    } catch (IOException goneOrForeign) {
      return false;
    }
  }

  private static boolean contains(byte[] text, byte[] wanted) {
    // Latin-1 maps every byte to one character, so this compares bytes.
    return new String(text, StandardCharsets.ISO_8859_1).contains(new String(wanted, StandardCharsets.ISO_8859_1));
  }

  private static void pause() {
    try {
      Thread.sleep(2);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
  }
}
