package deadweight.playground;

import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.UnknownHostException;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** The HTTP server: start, and graceful stop. */
final class Service {
  /** How long running scripts may go on after SIGTERM. {@code docker stop} kills after ten seconds. */
  static final int SHUTDOWN_GRACE_SECONDS = 5;

  private static final int KILL_GRACE_SECONDS = 1;
  private static final int SLOW_CLIENT_SECONDS = 30;
  private static final int MAX_HEADER_BYTES = 64 << 10;

  private final Settings settings;
  private final Log log;
  private final Zombies zombies = new Zombies();
  private final Runner runner;
  private final AtomicInteger inFlight = new AtomicInteger();
  private final Handlers handlers;
  private final ScheduledThreadPoolExecutor helper = new ScheduledThreadPoolExecutor(2, Service::daemon);
  private HttpServer server;

  Service(Settings settings, Log log) {
    this.settings = settings;
    this.log = log;
    this.runner = new Runner(settings, log, zombies);
    this.handlers = new Handlers(settings.concurrency());
  }

  /** Listens and returns the port. Throws IOException if that is not possible. */
  int start() throws IOException {
    limitClients();
    try {
      server = HttpServer.create(address(), 0);
    } catch (IOException refused) {
      throw new IOException("listen on port " + settings.listen().port() + ": " + refused.getMessage(), refused);
    }
    Routes routes = new Routes(settings, log, runner);
    server.createContext(
        "/",
        exchange -> {
          inFlight.incrementAndGet();
          try {
            routes.handle(exchange);
          } finally {
            inFlight.decrementAndGet();
          }
        });
    server.setExecutor(handlers);
    // A script can fill the container's pid limit, and from then on no thread can be started: have some before.
    handlers.prestartAllCoreThreads();
    helper.prestartAllCoreThreads();
    server.start();
    helper.scheduleWithFixedDelay(zombies::collect, 1, 1, TimeUnit.SECONDS);
    announce();
    return server.getAddress().getPort();
  }

  /** Starts, and stops with exit code 0 on SIGTERM or SIGINT. */
  void startUntilSignal() throws IOException {
    start();
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                () -> {
                  stop();
                  // Without this the virtual machine would report the signal, 143, for a stop that went as it should.
                  Runtime.getRuntime().halt(Main.EXIT_OK);
                }));
  }

  /** Takes no more connections, lets running scripts end, and kills those that do not. */
  void stop() {
    log.info("stopping", "grace_seconds", SHUTDOWN_GRACE_SECONDS);
    // HttpServer.stop closes the listener at once, but then waits for its whole delay even if nothing is going on.
    helper.execute(() -> server.stop(SHUTDOWN_GRACE_SECONDS + KILL_GRACE_SECONDS));
    if (!settled(SHUTDOWN_GRACE_SECONDS)) {
      log.warn("scripts still run: killing them");
      runner.stop();
      settled(KILL_GRACE_SECONDS);
    }
    // On a busy machine the helper may not have come to it yet.
    server.stop(0);
    helper.shutdownNow();
    handlers.shutdown();
    log.info("stopped");
  }

  private boolean settled(int seconds) {
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(seconds);
    try {
      // At least one look after the listener has had time to close.
      do {
        Thread.sleep(20);
      } while (inFlight.get() > 0 && System.nanoTime() < end);
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
    return inFlight.get() == 0;
  }

  private InetSocketAddress address() throws UnknownHostException {
    Settings.Address listen = settings.listen();
    return listen.host().isEmpty()
        ? new InetSocketAddress(listen.port())
        : new InetSocketAddress(InetAddress.getByName(listen.host()), listen.port());
  }

  /** The JDK's server takes these as system properties, times in seconds, and reads them when it is first used. */
  private void limitClients() {
    long answer = 2L * SLOW_CLIENT_SECONDS + 2 + settings.timeout().toSeconds();
    System.setProperty("sun.net.httpserver.maxReqTime", Integer.toString(SLOW_CLIENT_SECONDS));
    System.setProperty("sun.net.httpserver.maxRspTime", Long.toString(answer));
    System.setProperty("sun.net.httpserver.idleInterval", "60");
    System.setProperty("sun.net.httpserver.maxReqHeaderSize", Integer.toString(MAX_HEADER_BYTES));
    System.setProperty("sun.net.httpserver.maxReqHeaders", "2000"); // the server counts 32 bytes for each: the size decides
  }

  private void announce() {
    BuildIdentity build = BuildIdentity.current();
    log.info(
        "listening",
        "address", Log.shown(server.getAddress()),
        "version", build.version(),
        "revision", build.revision());
    AwkProbe.locate(settings.awk())
        .ifPresentOrElse(
            path -> log.info("awk found", "path", path.toString()),
            () -> log.warn("no awk on PATH: every script will fail", "awk", settings.awk()));
    if (ProcessHandle.current().pid() == 1 && !zombies.canCollect()) {
      log.warn("as process 1 this service cannot collect orphans: start it with an init, or with --add-opens"
          + " java.base/java.lang=ALL-UNNAMED");
    }
  }

  private static Thread daemon(Runnable work) {
    Thread thread = new Thread(work);
    thread.setDaemon(true);
    return thread;
  }
}
