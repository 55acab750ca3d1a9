package deadweight.playground;

import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpHandler;
import java.io.IOException;
import java.util.List;

/** Takes every request, finds its route by the whole path, answers it, and logs it. */
final class Routes implements HttpHandler {
  private static final List<String> READ = List.of("GET", "HEAD");
  private static final List<String> WRITE = List.of("POST");

  private interface Action {
    Object answer(HttpExchange exchange) throws Failure, InterruptedException;
  }

  private record Route(List<String> methods, Action action) {}

  private record Reply(int status, Object content) {}

  private final Settings settings;
  private final Log log;
  private final Runner runner;
  private final AwkProbe awk;

  Routes(Settings settings, Log log, Runner runner) {
    this.settings = settings;
    this.log = log;
    this.runner = runner;
    this.awk = new AwkProbe(settings.awk(), runner);
  }

  @Override
  public void handle(HttpExchange exchange) throws IOException {
    long started = System.nanoTime();
    Reply reply = reply(exchange);
    byte[] body = Json.bytes(reply.content());
    try (exchange) {
      send(exchange, reply.status(), body);
    } finally {
      log.info(
          "request",
          "method", exchange.getRequestMethod(),
          "path", exchange.getRequestURI().getPath(),
          "status", reply.status(),
          "bytes", body.length,
          "duration_ms", (System.nanoTime() - started) / 1_000_000,
          "remote", Log.shown(exchange.getRemoteAddress()));
    }
  }

  private Reply reply(HttpExchange exchange) {
    try {
      return new Reply(200, dispatch(exchange));
    } catch (Failure failure) {
      Headers headers = exchange.getResponseHeaders();
      if (failure.status() == 503) {
        headers.set("Retry-After", "1");
      } else if (failure.status() == 413) {
        headers.set("Connection", "close");
      }
      return new Reply(failure.status(), failure.answer());
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
      return internal(interrupted);
    } catch (RuntimeException | Error bug) {
      return internal(bug);
    }
  }

  private Reply internal(Throwable cause) {
    log.warn("internal error", "error", cause.toString());
    return new Reply(500, new Failure(500, "internal", "the service failed").answer());
  }

  private Object dispatch(HttpExchange exchange) throws Failure, InterruptedException {
    Route route =
        switch (String.valueOf(exchange.getRequestURI().getPath())) {
          case "/healthz" -> new Route(READ, this::health);
          case "/version" -> new Route(READ, this::version);
          case "/api/v1/awk" -> new Route(WRITE, this::awkJson);
          case "/test" -> new Route(WRITE, this::awkForm);
          default -> throw new Failure(404, "not_found", "there is nothing at this path");
        };
    if (!route.methods().contains(exchange.getRequestMethod())) {
      String methods = String.join(", ", route.methods());
      exchange.getResponseHeaders().set("Allow", methods);
      throw new Failure(405, "method_not_allowed", "this path takes " + methods);
    }
    return route.action().answer(exchange);
  }

  /** Fine only if there is an awk: without one the service cannot do its work. */
  private Object health(HttpExchange exchange) throws Failure {
    if (AwkProbe.locate(settings.awk()).isEmpty()) {
      throw Failure.noAwk();
    }
    return new Answers.Health("ok");
  }

  private Object version(HttpExchange exchange) throws InterruptedException {
    BuildIdentity build = BuildIdentity.current();
    Answers.Runtime runtime = new Answers.Runtime("java", System.getProperty("java.version"));
    return new Answers.Version(build.name(), build.version(), build.revision(), runtime, awk.identify());
  }

  private Object awkJson(HttpExchange exchange) throws Failure, InterruptedException {
    Job job = Requests.json(Requests.body(exchange, "application/json", settings.maxRequestBytes()));
    Finished done = runner.execute(job);
    return new Answers.Run(
        done.stdout(), done.stderr(), done.exitCode(), done.duration().toMillis(), done.truncated());
  }

  private Object awkForm(HttpExchange exchange) throws Failure, InterruptedException {
    String type = "application/x-www-form-urlencoded";
    Finished done = runner.execute(Requests.form(Requests.body(exchange, type, settings.maxRequestBytes())));
    return new Answers.Form(done.stdout(), done.stderr(), done.truncated());
  }

  private static void send(HttpExchange exchange, int status, byte[] body) throws IOException {
    Headers headers = exchange.getResponseHeaders();
    headers.set("Content-Type", "application/json");
    headers.set("Cache-Control", "no-store");
    headers.set("X-Content-Type-Options", "nosniff");
    if (exchange.getRequestMethod().equals("HEAD")) {
      headers.set("Content-Length", Integer.toString(body.length));
      exchange.sendResponseHeaders(status, -1);
      return;
    }
    exchange.sendResponseHeaders(status, body.length);
    exchange.getResponseBody().write(body);
  }
}
