package deadweight.playground;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.ExecutionException;

/** Runs awk within the limits. */
final class Runner {
  /** How long a request waits for a free slot before it is told that the service is busy. */
  private static final Duration QUEUE_WAIT = Duration.ofSeconds(2);
  /** How long a process that escaped the kill may hold the output open after everything else has ended. */
  private static final Duration PIPE_DELAY = Duration.ofMillis(500);

  private final Settings settings;
  private final Log log;
  private final Zombies zombies;
  private final Semaphore slots;
  private final ExecutorService pumps = Executors.newCachedThreadPool(Runner::daemon);
  private final Set<Run> running = ConcurrentHashMap.newKeySet();
  private volatile boolean stopping;

  Runner(Settings settings, Log log, Zombies zombies) {
    this.settings = settings;
    this.log = log;
    this.zombies = zombies;
    this.slots = new Semaphore(settings.concurrency(), true);
  }

  /** Waits for a slot and runs the job. Throws Failure if it was not started or had to be stopped. */
  Finished execute(Job job) throws Failure, InterruptedException {
    if (AwkProbe.locate(settings.awk()).isEmpty()) {
      throw Failure.noAwk();
    }
    if (!slots.tryAcquire(QUEUE_WAIT.toMillis(), TimeUnit.MILLISECONDS)) {
      throw new Failure(503, "busy", "too many scripts are running");
    }
    try {
      List<String> words = new ArrayList<>(job.args());
      words.add(job.script());
      Run run = new Run(words, job.input(), settings.timeout(), settings.maxOutputBytes());
      Finished done = run.toEnd();
      if (run.stoppedByShutdown) {
        throw new Failure(503, "shutting_down", "the service stopped while the script ran", done);
      }
      if (run.expired) {
        long limit = settings.timeout().toMillis();
        throw new Failure(504, "timeout", "the script ran longer than " + limit + " ms and was stopped", done);
      }
      return done;
    } finally {
      slots.release();
    }
  }

  /** Runs awk with options alone, for its version. */
  Finished probe(List<String> options) throws Failure, InterruptedException {
    return new Run(options, "", Duration.ofSeconds(2), 4096).toEnd();
  }

  /** Kills every script that runs. */
  void stop() {
    stopping = true;
    for (Run run : running) {
      run.stoppedByShutdown = true;
      run.tree.kill(run.process);
    }
  }

  private static Thread daemon(Runnable work) {
    Thread thread = new Thread(null, work, "pump", 128 << 10);
    thread.setDaemon(true);
    return thread;
  }

  /** One process with its pipes. */
  private final class Run {
    final ProcessTree tree = new ProcessTree();
    private final long started = System.nanoTime();
    private final Duration limit;
    private final CappedOutput stdout;
    private final CappedOutput stderr;
    private final List<Future<?>> readers = new ArrayList<>();
    final Process process;
    boolean expired;
    volatile boolean stoppedByShutdown;

    Run(List<String> words, String input, Duration limit, int maxOutputBytes) throws Failure {
      this.limit = limit;
      stdout = new CappedOutput(maxOutputBytes);
      stderr = new CappedOutput(maxOutputBytes);
      process = start(words);
      running.add(this);
      try {
        readers.add(pumps.submit(() -> stdout.drain(process.getInputStream())));
        readers.add(pumps.submit(() -> stderr.drain(process.getErrorStream())));
        pumps.execute(() -> feed(input));
      } catch (OutOfMemoryError noThread) {
        // The container's pid limit counts threads too.
        finish();
        throw notStarted(noThread);
      }
    }

    private Process start(List<String> words) throws Failure {
      // The bare name, not the path found: it becomes argv[0], by which busybox knows what to be.
      List<String> command = new ArrayList<>(List.of(settings.awk()));
      command.addAll(words);
      ProcessBuilder builder = new ProcessBuilder(command);
      tree.prepare(builder);
      try {
        return zombies.start(builder);
      } catch (IOException | OutOfMemoryError failed) {
        // Java may have started awk and then found no thread to wait for it.
        tree.killMarked();
        throw notStarted(failed);
      }
    }

    private Failure notStarted(Throwable cause) {
      log.warn("awk did not start", "error", String.valueOf(cause.getMessage()));
      return new Failure(503, "start_failed", "awk could not be started");
    }

    private void feed(String input) {
      try (OutputStream stdin = process.getOutputStream()) {
        stdin.write(input.getBytes(StandardCharsets.UTF_8));
      } catch (IOException notRead) {
        // awk need not read all of its input
      }
    }

    Finished toEnd() throws InterruptedException {
      try {
        if (stopping) {
          stoppedByShutdown = true;
        } else {
          expired = !process.waitFor(limit.toMillis(), TimeUnit.MILLISECONDS);
        }
      } finally {
        finish();
      }
      long cut = System.nanoTime() + PIPE_DELAY.toNanos();
      for (Future<?> reader : readers) {
        await(reader, cut);
      }
      Duration took = Duration.ofNanos(System.nanoTime() - started);
      boolean truncated = stdout.truncated() || stderr.truncated();
      return new Finished(stdout.text(), stderr.text(), process.exitValue(), took, truncated);
    }

    private void finish() {
      if (!tree.kill(process)) {
        log.warn("a script left processes behind that could not be ended");
      }
      // SIGKILL was sent, so this is a matter of moments. Process.onExit would need a new thread for it.
      boolean interrupted = false;
      while (process.isAlive()) {
        try {
          process.waitFor();
        } catch (InterruptedException later) {
          interrupted = true;
        }
      }
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
      running.remove(this);
      zombies.release(process);
    }

    private void await(Future<?> reader, long cut) throws InterruptedException {
      try {
        reader.get(Math.max(0, cut - System.nanoTime()), TimeUnit.NANOSECONDS);
      } catch (TimeoutException heldOpen) {
        // the thread ends when whoever holds the pipe does
      } catch (ExecutionException failed) {
        throw new IllegalStateException(failed);
      }
    }
  }
}
