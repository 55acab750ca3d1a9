"""What a service's code takes from its environment and no file of the repository gives."""

from __future__ import annotations

import pytest

from deadweight.suite.model import RunSettings
from deadweight_init import posture
from deadweight_init.folders import in_memory, with_folder_it_lacks
from deadweight_init.lacking import variable_it_wants, with_its_example, with_what_it_lacks
from deadweight_init.observe import Health, Seen
from deadweight_init.services import find_services
from deadweight_init.tree import look
from deadweight_init.values import MADE_UP
from tests.support.recipes import recipe
from tests.support.trees import written

APP = "app = Flask(__name__)\n"


def lacking(root, code: str, package: str, **more: str):
    tree = look(written(root, {"app.py": APP + code, "requirements.txt": f"flask\n{package}\n", **more}))
    (service,) = find_services(tree)
    return with_what_it_lacks(recipe(service, "build"), tree)


@pytest.mark.parametrize(
    ("code", "package", "env", "image"),
    [
        (
            'os.environ["DATABASE_URL"]',
            "psycopg2",
            "postgresql://app:app@postgres:5432/app",
            "postgres:16",
        ),
        (
            "dj_database_url.config()",
            "psycopg",
            "postgresql://app:app@postgres:5432/app",
            "postgres:16",
        ),
        ('os.getenv("MONGODB_URI")', "pymongo", "mongodb://mongo:27017/app", "mongo:7"),
        ('config("PGHOST")', "asyncpg", "postgres", "postgres:16"),
        ('os.environ["DB_PORT"]', "PyMySQL", "3306", "mysql:8"),
        ('get_env("POSTGRES_USER")', "asyncpg", "app", "postgres:16"),
        ("class Settings(BaseSettings):\n    POSTGRES_SERVER: str", "psycopg", "postgres", "postgres:16"),
        ("class Settings(BaseSettings):\n    db_host: str", "psycopg", "postgres", "postgres:16"),
    ],
)
def test_a_database_that_the_code_names_is_of_the_kind_that_it_has_a_library_for(tmp_path, code, package, env, image):
    draft = lacking(tmp_path, code, package)
    assert draft is not None
    (known,) = draft.service.around.env.values()
    assert known.value == env
    assert known.origin.startswith("seen: it does not come up without (from app.py:")
    assert f'image: "{image}"' in draft.run["needs"].value
    assert with_what_it_lacks(draft, look(tmp_path)) is None


def test_a_database_that_a_rust_manifest_names_over_several_lines_is_found(tmp_path):
    manifest = '[package]\nname = "x"\n[dependencies]\naxum = "0.8"\nsqlx = { version = "0.8", features = [\n    "postgres",\n] }\n'
    files = {"Cargo.toml": manifest, "src/main.rs": 'fn main() { std::env::var("DATABASE_URL"); }', "Cargo.lock": ""}
    tree = look(written(tmp_path, files))
    (service,) = find_services(tree)
    draft = with_what_it_lacks(recipe(service, "build"), tree)
    assert draft is not None
    assert 'image: "postgres:16"' in draft.run["needs"].value


def test_what_cargo_gives_a_program_for_developers_shows_what_it_takes(tmp_path):
    manifest = (
        '[package]\nname = "x"\n[dependencies]\naxum = "0.8"\nsqlx = { version = "0.8", features = ["postgres"] }\n'
    )
    settings = (
        '[env]\nSERVICE_DB_URL = "postgres://me:pass@localhost/shop"\nSERVICE_KEY = { value = "k" }\nSERVICE_N = 1\n'
    )
    tree = look(
        written(tmp_path, {"Cargo.toml": manifest, "src/main.rs": "fn main() {}", ".cargo/config.toml": settings})
    )
    (service,) = find_services(tree)
    shown = {"SERVICE_DB_URL": "postgres://me:pass@localhost/shop", "SERVICE_KEY": "k"}
    assert [(each.value, each.origin) for each in service.spare] == [(shown, "from .cargo/config.toml")]
    draft = with_what_it_lacks(recipe(service, "build"), tree)
    assert draft is not None
    assert draft.service.around.env["SERVICE_DB_URL"].value == "postgres://app:app@postgres:5432/app"
    assert 'image: "postgres:16"' in draft.run["needs"].value


def test_a_secret_gets_a_value_and_nothing_beside_it(tmp_path):
    draft = lacking(tmp_path, 'os.environ["DJANGO_SECRET_KEY"]', "")
    assert draft is not None
    assert f"DJANGO_SECRET_KEY: {MADE_UP}" in draft.run["env"].value
    assert "needs" not in draft.run


@pytest.mark.parametrize("code", ['os.environ["DATABASE_URL"]', 'os.environ["SMTP_HOST"]', 'os.environ["API_URL"]'])
def test_what_nothing_is_known_of_is_not_made_up(tmp_path, code):
    assert lacking(tmp_path, code, "redis") is None


def test_what_the_start_file_of_express_generator_reads_is_found(tmp_path):
    package = '{"dependencies": {"express": "4", "mongoose": "8"}, "scripts": {"start": "node ./bin/www"}}'
    files = {"package.json": package, "bin/www": "mongoose.connect(process.env.MONGODB_URI || x)\n", "app.js": ""}
    tree = look(written(tmp_path / "shop", files))
    (service,) = find_services(tree)
    draft = with_what_it_lacks(recipe(service, "build"), tree)
    assert draft.service.around.env["MONGODB_URI"].value == "mongodb://mongo:27017/app"


@pytest.mark.parametrize(
    ("code", "name", "value"),
    [
        ("connect(process.env.ATLAS_URI || '')\n", "ATLAS_URI", "mongodb://mongo:27017/app"),
        ("connect(process.env.MONGO_DB_STRING)\n", "MONGO_DB_STRING", "mongodb://mongo:27017/app"),
        ("connect(process.env.MONGODB_URI_LOCAL)\n", "MONGODB_URI_LOCAL", "mongodb://mongo:27017/app"),
        ("connect(process.env.DB_CONNECT)\n", "DB_CONNECT", "mongodb://mongo:27017/app"),
        ("connect(process.env.CONNECTION_STRING)\n", "CONNECTION_STRING", "mongodb://mongo:27017/app"),
        (
            "connect(process.env.AZURE_COSMOS_CONNECTIONSTRING)\n",
            "AZURE_COSMOS_CONNECTIONSTRING",
            "mongodb://mongo:27017/app",
        ),
        ("const { PORT = 3000, STORE_URI } = process.env\n", "STORE_URI", None),
        ("const { PORT, MONGO_URI: uri = 'x' } = process.env\n", "MONGO_URI", "mongodb://mongo:27017/app"),
        (
            "export const env = z.object({\n  MONGODB_URI: z.string().url(),\n})\n",
            "MONGODB_URI",
            "mongodb://mongo:27017/app",
        ),
        ("joi.object({\n  MONGODB_URL: Joi.string().required(),\n})\n", "MONGODB_URL", "mongodb://mongo:27017/app"),
        ("class Env {\n  @IsString()\n  MONGO_URI!: string;\n}\n", "MONGO_URI", "mongodb://mongo:27017/app"),
        ("connect(process.env.STORE || 'mongodb://localhost/shop')\n", "STORE", "mongodb://mongo:27017/app"),
        (
            "connect(process.env['STORE'] ?? `mongodb+srv://u:p@x.example/s?tls=1`)\n",
            "STORE",
            "mongodb://mongo:27017/app",
        ),
        ("get(process.env.API || 'https://api.example')\n", "API", None),
        ("mongoose.connect(process.env.STORE, options)\n", "STORE", "mongodb://mongo:27017/app"),
        ("const url = process.env.STORE\nawait mongoose.connect(url)\n", "STORE", "mongodb://mongo:27017/app"),
        ("new MongoClient(`${process.env.STORE}`)\n", "STORE", "mongodb://mongo:27017/app"),
        ("connect(process.env.CONNECTION_URL)\n", "CONNECTION_URL", "mongodb://mongo:27017/app"),
        ("const c = url\nmongoose.connect(config.url + process.env.STORE)\n", "STORE", None),
    ],
)
def test_javascript_reads_its_environment_in_many_ways(tmp_path, code, name, value):
    package = '{"dependencies": {"express": "4", "mongoose": "8"}, "scripts": {"start": "node app.js"}}'
    tree = look(written(tmp_path / "shop", {"package.json": package, "app.js": "", "src/env.ts": code}))
    (service,) = find_services(tree)
    draft = with_what_it_lacks(recipe(service, "build"), tree)
    found = draft.service.around.env.get(name) if draft else None
    assert (found and found.value) == value


def test_a_variable_of_any_name_leads_to_the_database_whose_address_the_example_shows(tmp_path):
    package = '{"dependencies": {"express": "4", "mongodb": "6"}, "scripts": {"start": "node app.js"}}'
    shown = "ATLAS=mongodb+srv://me:x@cluster.example/shop?retryWrites=true&ssl=true\nMAIL=smtp://localhost\n"
    tree = look(written(tmp_path / "shop", {"package.json": package, "app.js": "", ".env.example": shown}))
    (service,) = find_services(tree)
    draft = with_what_it_lacks(recipe(service, "build"), tree)
    assert draft is not None
    assert {name: known.value for name, known in draft.service.around.env.items()} == {
        "ATLAS": "mongodb://mongo:27017/app"
    }


@pytest.mark.parametrize(
    ("died", "given"),
    [
        ("it ended: MissingEnvVarsError: defined in /app/.env.example but not present in the environment", True),
        ("it ended: ZodError: at path MAIL_FROM: Required", True),
        ("it ended: connect ECONNREFUSED 10.0.0.1:25", False),
    ],
)
def test_all_that_an_example_shows_is_given_where_a_service_ends_for_want_of_a_variable(tmp_path, died, given):
    example = "DAYS=15\nMAIL_FROM=\nMAIL_PORT=\nNODE_ENV=development\nLIMIT=3\n"
    files = {"package.json": '{"main": "a.js", "dependencies": {"express": "*"}}', "a.js": "", ".env.example": example}
    tree = look(written(tmp_path, {**files, "compose.yaml": "services: {a: {build: ., environment: {LIMIT: '9'}}}\n"}))
    (service,) = find_services(tree)
    draft = with_its_example(recipe(service, "build"), died, tree)
    assert (draft is not None) == given
    if draft is not None:
        env = {name: each.value for name, each in draft.service.around.env.items()}
        assert env == {"LIMIT": "9", "DAYS": "15", "MAIL_FROM": MADE_UP, "MAIL_PORT": "1"}
        assert "DAYS" in draft.run["env"].value
        assert with_its_example(draft, died, tree) is None


def test_what_a_compose_file_gives_is_not_given_twice(tmp_path):
    compose = "services:\n  web:\n    build: .\n    environment: {DATABASE_URL: x}\n    depends_on: [db]\n  db: {image: postgres}\n"
    files = {"compose.yaml": compose, "Dockerfile": "FROM python\nCOPY . .\nCMD flask run\n"}
    assert lacking(tmp_path, 'os.environ["DATABASE_URL"], os.environ["PGHOST"]', "psycopg2", **files) is None


def test_what_a_compose_file_starts_and_does_not_tell_the_service_of_is_told_by_what_it_is_told_itself(tmp_path):
    compose = (
        "services:\n  web:\n    build: .\n    depends_on: [store]\n  store:\n    image: mysql:8\n"
        "    environment: {MYSQL_USER: me, MYSQL_PASSWORD: sesame, MYSQL_DATABASE: articles, MYSQL_ROOT_PASSWORD: x}\n"
    )
    code = 'getEnv("DB_USER"), os.Getenv("DB_PASS"), os.Getenv("DB_NAME"), os.Getenv("DB_URL")\n'
    files = {
        "compose.yaml": compose,
        "Dockerfile": "FROM golang\nCOPY . .\nRUN go build -o /x\nCMD /x\n",
        "go.mod": "module x\n\ngo 1.22\n\nrequire github.com/go-sql-driver/mysql v1.7.1\n",
        "main.go": "package main\n" + code,
        "example.env": 'DATABASE_HOST = "localhost"\nDATABASE_PORT = 3306\nDEBUG = True\n',
    }
    tree = look(written(tmp_path, files))
    (service,) = find_services(tree)
    draft = with_what_it_lacks(recipe(service, "build"), tree)
    assert draft is not None
    assert {name: known.value for name, known in draft.service.around.env.items()} == {
        "DB_USER": "me",
        "DB_PASS": "sesame",
        "DB_NAME": "articles",
        "DB_URL": "me:sesame@tcp(store:3306)/articles?parseTime=true",
        "DATABASE_HOST": "store",
        "DATABASE_PORT": "3306",
    }
    assert [each.value.name for each in draft.service.around.needs] == ["store"]


def test_the_form_of_an_address_is_the_one_of_the_example(tmp_path):
    shown = "DATABASE_URL=postgresql+asyncpg://me:x@localhost:5432/shop?pool=2\n"
    draft = lacking(tmp_path, "", "asyncpg", **{".env.sample": shown})
    assert draft is not None
    (known,) = draft.service.around.env.values()
    assert known.value == "postgresql+asyncpg://app:app@postgres:5432/app?pool=2"
    assert known.origin == "seen: it does not come up without (from .env.sample)"


@pytest.mark.parametrize(
    ("died", "folder"),
    [
        (
            "it ended with exit code 1: Error: EACCES: permission denied, mkdir '/etc/todos' | at Object.mkdirSync",
            "/etc/todos",
        ),
        ("Error: EACCES: permission denied, open '/data/app/log.txt'", "/data/app"),
        ("PermissionError: [Errno 13] Permission denied: '/srv/state/app.db'", "/srv/state"),
        ("panic: mkdir /var/lib/shop: permission denied", "/var/lib/shop"),
        ("open /var/lib/shop/x.db: read-only file system", "/var/lib/shop"),
        ("java.nio.file.AccessDeniedException: /var/log/app/app.log", "/var/log/app"),
        ("java.io.FileNotFoundException: /logs/app.log (Permission denied)", "/logs"),
        ("mkdir: cannot create directory '/cache/x': Permission denied", "/cache/x"),
        ("PermissionError: [Errno 13] Permission denied: '/uploads'", "/uploads"),
        ("OSError: [Errno 30] Read-only file system: '/var/log/shop'", "/var/log/shop"),
    ],
)
def test_a_folder_that_a_service_was_refused_is_put_in_memory(tmp_path, died, folder):
    tree = look(written(tmp_path, {"app.py": APP, "requirements.txt": "flask\n"}))
    draft = recipe(find_services(tree)[0], "build")
    again = with_folder_it_lacks(draft, died)
    assert again is not None
    assert in_memory(again.service) == (folder,)
    assert with_folder_it_lacks(again, died) is None


@pytest.mark.parametrize(
    ("died", "variable"),
    [
        (
            "it ended with exit code 1: KeyError: 'PAYMENTS_TOKEN' | token = os.environ['PAYMENTS_TOKEN']",
            "PAYMENTS_TOKEN",
        ),
        ("it ended with exit code 3: error: DATABASE_URL is not set", "DATABASE_URL"),
        ("panic: required environment variable API_KEY missing", "API_KEY"),
        ("Error: Missing required env SESSION_SECRET", "SESSION_SECRET"),
        ('Please set "STRIPE_SECRET_KEY" first', "STRIPE_SECRET_KEY"),
        ("Could not resolve placeholder 'mail.host' in value", "mail.host"),
        ("decouple.UndefinedValueError: MAIL_KEY not found. Declare it as envvar or define a default", "MAIL_KEY"),
        ("ImproperlyConfigured: Set the MAIL_KEY environment variable", "MAIL_KEY"),
        (
            "2 validation errors for Settings | mail_key | Field required [type=missing, input_value={}] | For",
            "mail_key",
        ),
        ("it ended with exit code 1: listen tcp :80: bind: permission denied", None),
        ("KeyError: 'name'", None),
        ("SQLITE_CANTOPEN: unable to open database file", None),
    ],
)
def test_the_variable_for_want_of_which_it_ended_is_told(died, variable):
    assert variable_it_wants(died) == variable


def test_its_data_alone_is_put_in_memory_where_it_also_writes_among_its_own_files():
    saw = Seen(Health("http", 8080, "/", 200), (8080,), "0:0", 10**7, 4, ("/opt/shop", "/var/log/shop"), 1.0, 0.1, 0)
    told = [each for _, each in posture._postures(saw, RunSettings(), ("/var/log/shop",))]
    found = [each["tmpfs"].value for each in told if "tmpfs" in each]
    assert found[:2] == ["[/tmp, /opt/shop, /var/log/shop]", "[/tmp, /var/log/shop]"]
    same = [each for _, each in posture._postures(saw, RunSettings(), ("/opt/shop", "/var/log/shop"))]
    assert [each["tmpfs"].origin for each in same if "tmpfs" in each].count(told[0]["tmpfs"].origin) == 1


def test_a_folder_of_the_system_that_it_writes_to_is_not_put_in_memory():
    saw = Seen(Health("http", 8080, "/", 200), (8080,), "0:0", 10**7, 4, ("/etc", "/var/lib/shop"), 1.0, 0.1, 0)
    told = [each for _, each in posture._postures(saw, RunSettings(), ())]
    assert {each["tmpfs"].value for each in told if "tmpfs" in each} == {"[/tmp, /var/lib/shop]"}
    assert told[-1]["read_only"].value == "false"
    kept = [each for _, each in posture._with_capabilities(saw, RunSettings())]
    assert {each["tmpfs"].value for each in kept if "tmpfs" in each} == {"[/tmp, /var/lib/shop]"}
    assert "SYS_CHROOT" in kept[-1]["capabilities"].value
    assert kept[-1]["read_only"].value == "false"


@pytest.mark.parametrize(
    "died",
    [
        "open /etc/passwd: permission denied",
        "PermissionError: [Errno 13] Permission denied: '/dev/shm/x'",
        "EACCES: permission denied, open '/x'",
        "no luck",
        "java.nio.file.AccessDeniedException: /app/shop.mv.db",  # the service itself is there
    ],
)
def test_no_folder_of_the_system_is_hidden(tmp_path, died):
    tree = look(written(tmp_path, {"app.py": APP, "requirements.txt": "flask\n"}))
    assert with_folder_it_lacks(recipe(find_services(tree)[0], "build"), died) is None


@pytest.mark.parametrize(("cpu", "within"), [(0.4, 20), (3.04, 30), (12.6, 126), (31.4, 240)])
def test_a_start_is_given_seconds_by_the_processors_time_and_not_by_the_machines_load(cpu, within):
    saw = Seen(Health("http", 8080, "/", 200), (8080,), "0:0", 10**7, 4, (), 120.0, 0.1, 0, cpu_seconds=cpu)
    assert posture.health_of(saw).within_seconds == within
