package com.google.cloud.tools.jib.gradle;

import java.nio.file.Files;
import java.nio.file.Path;
import org.gradle.api.Plugin;
import org.gradle.api.Project;

/** Has the task of Jib's that is called; its image is one that the test made. */
public class JibPlugin implements Plugin<Project> {
  public void apply(Project project) {
    project.getTasks().create("jibBuildTar").doLast(task -> {
      System.out.println("Containerizing " + task.getPath() + " for " + System.getProperty("jib.from.image"));
      try {
        Path image = Path.of(System.getProperty("example.image"));
        Files.copy(image, Path.of(System.getProperty("jib.outputPaths.tar")));
      } catch (java.io.IOException failed) {
        throw new java.io.UncheckedIOException(failed);
      }
    });
  }
}
