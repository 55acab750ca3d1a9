package example;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

@SpringBootApplication
@RestController
public class Ledger {
    private final JdbcTemplate database;

    public Ledger(JdbcTemplate database) {
        this.database = database;
    }

    @GetMapping("/sum")
    public Integer sum() {
        return database.queryForObject("select 1 + 1", Integer.class);
    }

    public static void main(String[] words) {
        SpringApplication.run(Ledger.class, words);
    }
}
