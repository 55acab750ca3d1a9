package deadweight.playground;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The service as it runs, on a free port of loopback. */
class ServiceTest {
  private static final HttpClient CLIENT = HttpClient.newHttpClient();

  private record Got(int status, JsonNode json) {
    String errorCode() {
      return json.path("error").path("code").asText();
    }
  }

  @TempDir Path folder;
  private Service service;
  private int port;

  private void start(String... pairs) throws IOException {
    Map<String, String> given = new HashMap<>(Map.of("LISTEN_ADDR", "127.0.0.1:0"));
    for (int index = 0; index < pairs.length; index += 2) {
      given.put(pairs[index], pairs[index + 1]);
    }
    Log silent = new Log(new PrintStream(OutputStream.nullOutputStream(), false, StandardCharsets.UTF_8));
    service = new Service(Settings.from(given::get), silent);
    port = service.start();
  }

  @AfterEach
  void stop() {
    if (service != null) {
      service.stop();
    }
  }

  private CompletableFuture<Got> send(String script, String... args) {
    byte[] body = Json.bytes(Map.of("script", script, "args", List.of(args)));
    HttpRequest request =
        HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + "/api/v1/awk"))
            .header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofByteArray(body))
            .build();
    return CLIENT.sendAsync(request, HttpResponse.BodyHandlers.ofString()).thenApply(ServiceTest::parse);
  }

  private static Got parse(HttpResponse<String> response) {
    try {
      return new Got(response.statusCode(), Json.MAPPER.readTree(response.body()));
    } catch (IOException wrong) {
      throw new IllegalStateException(wrong);
    }
  }

  private Got post(String script, String... args) {
    return send(script, args).join();
  }

  /** Asks again for up to three seconds. */
  private static void eventually(String what, BooleanSupplier holds) throws InterruptedException {
    for (int round = 0; round < 300; round++) {
      if (holds.getAsBoolean()) {
        return;
      }
      Thread.sleep(10);
    }
    throw new AssertionError("not within three seconds: " + what);
  }

  private static boolean alive(long pid) {
    return ProcessHandle.of(pid).isPresent() && !Zombies.isZombie(pid);
  }

  private Path pidFile() {
    return folder.resolve("pid");
  }

  /** The process number that a script wrote. */
  private long pid() throws InterruptedException, IOException {
    eventually("a process number", () -> Files.exists(pidFile()) && pidFile().toFile().length() > 1);
    return Long.parseLong(Files.readString(pidFile()).strip());
  }

  @Test
  void timeLimitKillsGrandchildrenThatHoldThePipes() throws Exception {
    start("AWK_TIMEOUT", "300ms");
    long started = System.nanoTime();
    Got got =
        post("BEGIN { print \"first\"; fflush(); system(\"sh -c 'echo $$ > " + pidFile() + "; exec sleep 60' | sleep 60\") }");
    assertEquals(504, got.status());
    assertEquals("timeout", got.errorCode());
    assertEquals("first\n", got.json().path("stdout").asText());
    assertTrue(System.nanoTime() - started < 2_500_000_000L);
    long pid = pid();
    eventually("the grandchild is gone", () -> !alive(pid));
  }

  @Test
  void whatAScriptLeavesBehindEndsWithItAlsoInASessionOfItsOwn() throws Exception {
    start();
    Got got =
        post("BEGIN { system(\"setsid sh -c 'echo $$ > " + pidFile() + "; exec sleep 60' & while ! [ -s " + pidFile()
            + " ]; do sleep 0.01; done\"); exit 3 }");
    assertEquals(200, got.status());
    assertEquals(3, got.json().path("exit_code").asInt());
    long pid = pid();
    eventually("the orphan is gone", () -> !alive(pid));
  }

  @Test
  void aProcessThatHidesCannotHoldTheAnswerBack() throws Exception {
    start();
    long started = System.nanoTime();
    Got got =
        post("BEGIN { system(\"env -i sh -c 'echo $$ > " + pidFile() + "; exec sleep 4' & while ! [ -s " + pidFile()
            + " ]; do sleep 0.01; done\"); print \"done\" }");
    assertEquals("done\n", got.json().path("stdout").asText());
    assertTrue(System.nanoTime() - started < 3_000_000_000L);
    ProcessHandle.of(pid()).ifPresent(ProcessHandle::destroyForcibly);
  }

  @Test
  void outputLimit() throws IOException {
    start("AWK_MAX_OUTPUT_BYTES", "1000");
    Got got = post("BEGIN { for (i = 0; i < 100000; i++) print i; exit 7 }");
    assertEquals(1000, got.json().path("stdout").asText().length());
    assertTrue(got.json().path("truncated").asBoolean());
    assertEquals(7, got.json().path("exit_code").asInt());
  }

  @Test
  void aSignalShowsInTheExitCode() throws IOException {
    start();
    assertEquals(137, post("BEGIN { system(\"kill -9 $PPID\") }").json().path("exit_code").asInt());
  }

  @Test
  void busy() throws Exception {
    start("AWK_CONCURRENCY", "1");
    CompletableFuture<Got> first = send("BEGIN { system(\"echo $$ > " + pidFile() + "; sleep 3\") }");
    pid();
    Got second = post("BEGIN {}");
    assertEquals(503, second.status());
    assertEquals("busy", second.errorCode());
    assertEquals(200, first.join().status());
  }

  @Test
  void noAwk() throws IOException {
    start("AWK_BINARY", "no-such-awk");
    assertEquals("awk_not_found", post("BEGIN {}").errorCode());
    IOException unhealthy =
        assertThrows(IOException.class, () -> Healthcheck.ask(new Settings.Address("127.0.0.1", port)));
    assertTrue(unhealthy.getMessage().contains("503"), unhealthy.getMessage());
  }

  @Test
  void healthcheck() throws IOException {
    start();
    for (String listen : List.of("127.0.0.1:", ":", "0.0.0.0:", "[::]:")) {
      Healthcheck.ask(Settings.Address.parse(listen + port));
    }
    stop();
    service = null;
    assertThrows(IOException.class, () -> Healthcheck.ask(new Settings.Address("", port)));
  }

  @Test
  void portInUse() throws IOException {
    start();
    Settings same = Settings.from(name -> name.equals("LISTEN_ADDR") ? "127.0.0.1:" + port : null);
    Service second = new Service(same, new Log(System.err));
    assertThrows(IOException.class, second::start);
  }

  @Test
  void shutdownLetsAScriptFinish() throws Exception {
    start();
    CompletableFuture<Got> first = send("BEGIN { system(\"echo $$ > " + pidFile() + "; sleep 1\"); print \"finished\" }");
    pid();
    stop();
    service = null;
    assertEquals("finished\n", first.join().json().path("stdout").asText());
  }

  @Test
  void shutdownKillsAScriptThatDoesNotFinish() throws Exception {
    start("AWK_TIMEOUT", "1m");
    CompletableFuture<Got> first = send("BEGIN { system(\"echo $$ > " + pidFile() + "; exec sleep 60\") }");
    long pid = pid();
    long started = System.nanoTime();
    stop();
    service = null;
    assertTrue(System.nanoTime() - started < (Service.SHUTDOWN_GRACE_SECONDS + 2) * 1_000_000_000L);
    assertEquals("shutting_down", first.join().errorCode());
    assertFalse(alive(pid));
  }

  @Test
  void dialects() {
    assertEquals("gawk", AwkProbe.dialect("GNU Awk 5.2.1, API 3.2"));
    assertEquals("mawk", AwkProbe.dialect("mawk 1.3.4 20200120"));
    assertEquals("busybox", AwkProbe.dialect("BusyBox v1.36.1 (Debian) multi-call binary."));
    assertEquals("bwk", AwkProbe.dialect("awk version 20220912"));
    assertEquals("unknown", AwkProbe.dialect(""));
  }
}
