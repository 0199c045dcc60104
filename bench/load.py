"""Figures of the API: requests per second on one core, and a million domains imported."""

import http.client
import json
import os
import random
import shutil
import socket
import ssl
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from client import Client
from stack import Stack, build_dir

APPS = 1000
LONG = 20000
SECONDS, ROUNDS, CONNECTIONS = 4, 3, 16

SCRIPTS = {
    "add": """
local n = {first}
request = function()
  n = n + 1
  local body = '{{"domain":{{"name":"a' .. n .. '.d' .. n % 5000 ..
    '.add.test","letsencrypt_enabled":false}}}}'
  return wrk.format("POST", "/v1/apps/api-" .. n % {apps} .. "/domains", nil, body)
end""",
    "show": """
local n = 0
request = function()
  n = n + 1
  return wrk.format("GET", "/v1/apps/api-0/domains/s" .. n % 20 .. ".show.test")
end""",
    "list of 20": """
request = function() return wrk.format("GET", "/v1/apps/api-0/domains") end""",
}


def threads_of(pid):
    return [int(task) for task in os.listdir(f"/proc/{pid}/task")]


def pin(pid, cores):
    for task in threads_of(pid):
        os.sched_setaffinity(task, cores)


def pid_of(stack, part):
    return stack.state["parts"][part]["pid"]


def make_stack(db, **settings):
    folder = tempfile.mkdtemp(prefix="postern-bench-")
    os.chmod(folder, 0o755)
    stack = Stack(folder, db=db, set_={"log.level": "warn", "app.domains_max": 10000, **settings})
    stack.up()
    return stack


def end_stack(stack):
    stack.down()
    shutil.rmtree(stack.dir, ignore_errors=True)


def import_lines(client, lines):
    path = client.stack.dir / "lines"
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    client.cli("domains-import", path)


def make_apps(stack, prefix, n):
    api = http.client.HTTPConnection(stack.env["POSTERN_URL"].split("//")[1])
    headers = {"Authorization": f"Bearer {stack.bearer()}", "Content-Type": "application/json"}
    for k in range(n):
        api.request("POST", "/v1/apps", json.dumps({"app": {"name": f"{prefix}-{k}"}}), headers)
        answer = api.getresponse()
        if answer.read() and answer.status != 201:
            raise SystemExit(f"bench: an app: {answer.status}")


def wrk(stack, name, core, first=0):
    """Requests per second of one run; those that are refused do not count."""
    script = stack.dir / "load.lua"
    script.write_text(f"""
wrk.headers["Authorization"] = "Bearer {stack.bearer()}"
wrk.headers["Content-Type"] = "application/json"
{SCRIPTS[name].format(first=first, apps=APPS)}
done = function(summary, latency)
  io.write(string.format("RESULT %d %d %d %d\\n", summary.requests,
    summary.errors.status + summary.errors.read + summary.errors.timeout,
    summary.duration, latency:percentile(99)))
end""")
    done = subprocess.run(
        ["taskset", "-c", str(core), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s",
         "-s", script, stack.env["POSTERN_URL"]], capture_output=True, text=True, check=True)
    n, bad, us, p99 = map(int, done.stdout.split("RESULT ")[1].split())
    if bad:
        raise SystemExit(f"bench: {bad} of {n} requests ({name}) failed")
    return n, n / (us / 1e6), p99 / 1000


def api(report):
    """posternd on one core, wrk (and PostgreSQL) on the other, connections kept alive."""
    if not shutil.which("wrk"):
        print("api: skipped, wrk is not installed (make deps)")
        return
    cores = sorted(os.sched_getaffinity(0))
    for db in ("sqlite", "postgresql"):
        print(f"\nRequests per second, posternd on one core, {CONNECTIONS} connections, {db}")
        stack = make_stack(db)
        try:
            make_apps(stack, "api", APPS)
            import_lines(Client(stack), [{"app": "api-0", "name": f"s{k}.show.test",
                                          "letsencrypt_enabled": False} for k in range(20)])
            pin(pid_of(stack, "posternd"), {cores[0]})
            sent = 0
            for name in SCRIPTS:
                runs = []
                for _ in range(ROUNDS):
                    n, rate, p99 = wrk(stack, name, cores[-1], sent)
                    sent += n + CONNECTIONS
                    runs.append((rate, p99))
                rates = [rate for rate, _ in runs]
                p99 = statistics.median(p for _, p in runs)
                print(f"{name:<40} {statistics.median(rates):>9.0f} /s   (min {min(rates):.0f}, "
                      f"max {max(rates):.0f}, n {len(rates)}, p99 {p99:.1f} ms)", flush=True)
                report[f"api.{db}.{name}"] = {"per_s": rates, "p99_ms": p99}
            report[f"api.{db}.long list"] = long_list(stack)
        finally:
            end_stack(stack)


def long_list(stack):
    """The list of an app with many domains, from request to the last byte."""
    app = "/v1/apps/long-0"
    make_apps(stack, "long", 1)
    stack.call("PATCH", app, {"app": {"domains_max": LONG}})
    import_lines(Client(stack), [{"app": "long-0", "name": f"l{k}.long.test",
                                  "letsencrypt_enabled": False} for k in range(LONG)])
    api = http.client.HTTPConnection(stack.env["POSTERN_URL"].split("//")[1])
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        api.request("GET", app + "/domains", headers={"Authorization": f"Bearer {stack.bearer()}"})
        size = len(api.getresponse().read())
        times.append(time.perf_counter() - begun)
    print(f"{f'list of {LONG}, {size / 1e6:.0f} MB':<40} {statistics.median(times):>9.2f} s    "
          f"(min {min(times):.2f}, max {max(times):.2f}, n {len(times)})", flush=True)
    return {"s": times}


# ---- importing ----

def cpu_seconds(pid):
    """CPU of a process and of those that it started and saw ending."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return [sum(map(int, fields[k:k + 2])) / os.sysconf("SC_CLK_TCK") for k in (11, 13)]


def peak_mb(pid):
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmHWM:")[1].split()[0]) / 1024


def size_mb(*paths):
    done = subprocess.run(["du", "-cm", *map(str, paths)], capture_output=True, text=True)
    return int(done.stdout.splitlines()[-1].split()[0])


def caught_up(stack):
    edges = stack.call("GET", "/v1/edges")["edges"]
    return all(e["live"] and not e["behind"] for e in edges)


def served(stack, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    host, port = stack.env["EDGE_HTTPS_1"].rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        with context.wrap_socket(raw, server_hostname=name) as s:
            return s.getpeercert(binary_form=True)


def line_number(path, wanted):
    with open(path) as file:
        for k, line in enumerate(file):
            if k == wanted:
                return json.loads(line)
    raise SystemExit("bench: the file of lines is short")


def write_lines(path, n, certificates):
    with open(path, "w") as file:
        if certificates:
            subprocess.run(["ninja", "-C", build_dir(), "tests/leafs"], check=True,
                           stdout=subprocess.DEVNULL)
            subprocess.run([build_dir() / "tests" / "leafs", str(n), str(APPS)], stdout=file,
                           check=True)
        else:
            for k in range(n):
                file.write(f'{{"app":"load-{k % APPS}","name":"www.d{k}.load.test",'
                           f'"letsencrypt_enabled":false}}\n')


def run_import(report, db, n, certificates):
    what = f"{n} domains, " + ("a certificate each" if certificates else "no certificates")
    print(f"\nImport of {what}, {db}")
    stack = make_stack(db)
    try:
        make_apps(stack, "load", APPS)
        path = stack.dir / "lines"
        write_lines(path, n, certificates)
        posternd = pid_of(stack, "posternd")
        env = {**os.environ, "POSTERN_URL": stack.env["POSTERN_URL"],
               "POSTERN_TOKEN": stack.env["POSTERN_TOKEN"], "HOME": str(stack.dir)}
        cpu = cpu_seconds(posternd)
        begun = time.perf_counter()
        done = subprocess.run([stack.env["POSTERN_CLI"], "domains-import", path, "--json"],
                              env=env, capture_output=True, text=True)
        took = time.perf_counter() - begun
        one = json.loads(done.stdout)["import"]
        if one["added"] != n:
            raise SystemExit(f"bench: {one['added']} of {n} were added: {one['refusals'][:3]}")
        while not caught_up(stack):
            time.sleep(0.2)
        ready = time.perf_counter() - begun
        own, readers = (b - a for a, b in zip(cpu, cpu_seconds(posternd)))
        figures = {"took_s": took, "per_s": n / took, "posternd_cpu_s": own,
                   "reading_processes_cpu_s": readers, "posternd_peak_mb": peak_mb(posternd),
                   "database_mb": size_mb(*stack.dir.glob("postern.db*")) if db == "sqlite"
                   else size_mb(stack.dir / "postgresql" / "db" / "base"),
                   "replica_ready_s": ready, "replica_mb": size_mb(stack.dir / "edge1" / "replica")}
        for key, value in figures.items():
            print(f"{key:<40} {value:>12.1f}", flush=True)
        if certificates:
            line = line_number(path, random.randrange(n))
            begun = time.perf_counter()
            if served(stack, line["name"]) != ssl.PEM_cert_to_DER_cert(
                    line["tlscert"].split("-----END")[0] + "-----END CERTIFICATE-----\n"):
                raise SystemExit(f"bench: {line['name']} is served with another certificate")
            print(f"{line['name']} is served ({(time.perf_counter() - begun) * 1000:.0f} ms)")
        report[f"import.{db}.{'with' if certificates else 'without'}"] = {"n": n, **figures}
    finally:
        end_stack(stack)


def imports(report, n, databases):
    for db in databases:
        for certificates in (False, True):
            run_import(report, db, n, certificates)
