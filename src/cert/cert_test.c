/*
 * cert_test.c - what the corpus cannot show: the limits of the reading process, its death, lies on
 * the pipe, memory that runs out, reports.
 */
#include "cert_internal.h"
#include "pst_test.h"
#include <errno.h>
#include <fcntl.h>
#include <postern/json.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOW = 1800000000, DAY = 86400, MIB = 1024 * 1024, TEXT_MAX = 65536 };

/* ---- a root, a leaf and its key ---- */

struct pair {
    struct pst_buf root; /* PEM */
    struct pst_buf leaf; /* PEM */
    struct pst_buf der;
};

/* The local CA seals its keys, so there is no private key to upload: key_optional. */
static void make_pair(struct pair *p)
{
    static const char *const names[] = {"www.example.com"};
    auto_buf struct pst_buf wrapped = PST_BUF(256), ca_key = PST_BUF(4096), ca = PST_BUF(4096),
                            key = PST_BUF(4096);
    char folder[] = "/tmp/postern-cert-XXXXXX", path[64];
    struct pst_keyring *kr = NULL;
    struct pst_err err = {0};

    *p = (struct pair){PST_BUF(TEXT_MAX), PST_BUF(TEXT_MAX), PST_BUF(TEXT_MAX)};
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/master.key", folder);
    assert_ok(pst_keyring_create_file(path, pst_rand_system(), &err), err);
    assert_ok(pst_keyring_open(&kr, path, pst_rand_system(), &err), err);
    assert_ok(pst_keyring_new_data_key(kr, &wrapped, &err), err);
    assert_ok(pst_keyring_add_data_key(kr, wrapped.data, wrapped.len, &err), err);
    assert_ok(pst_local_ca_new(kr, "ca", "1", "Test CA", NOW - DAY, &ca_key, &ca, &err), err);
    assert_ok(pst_local_ca_issue(
                  kr, &(struct pst_local_ca){{"ca", "1", ca_key.data, ca_key.len}, ca.data, ca.len},
                  &(struct pst_local_ca_request){.names = names,
                                                 .names_n = 1,
                                                 .not_before = NOW - DAY,
                                                 .not_after = NOW + 90 * DAY,
                                                 .kind = "cert",
                                                 .object_id = "1"},
                  &key, &p->der, &err),
              err);
    pst_pem_write(ca.data, ca.len, "CERTIFICATE", &p->root);
    pst_pem_write(p->der.data, p->der.len, "CERTIFICATE", &p->leaf);
    pst_keyring_free(kr);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void free_pair(struct pair *p)
{
    pst_buf_deinit(&p->root);
    pst_buf_deinit(&p->leaf);
    pst_buf_deinit(&p->der);
}

struct asking {
    struct pst_cert_input input;
    struct pst_cert_request req;
};

static const struct pst_cert_request *ask(struct asking *a, const struct pst_buf *upload)
{
    static const char *const names[] = {"www.example.com"};

    a->input = (struct pst_cert_input){upload->data, upload->len, PST_CERT_FIELD_CERT};
    a->req = (struct pst_cert_request){.inputs = &a->input,
                                       .inputs_n = 1,
                                       .names = names,
                                       .names_n = 1,
                                       .at = NOW,
                                       .key_optional = true};
    return &a->req;
}

/* ---- missing issuers ---- */

struct known {
    const struct pst_buf *pem;
    uint8_t subject[32];
    unsigned asked;
    int rc;
};

static int know(void *arg, const struct pst_cert_missing *m, struct pst_buf *ret_pem,
                struct pst_err *err)
{
    struct known *k = arg;

    k->asked++;
    memcpy(k->subject, m->subject_sha256, sizeof k->subject);
    if (k->rc < 0)
        return pst_fail(err, k->rc, "the table is gone");
    if (k->pem)
        pst_buf_add(ret_pem, k->pem->data, k->pem->len);
    return k->pem ? PST_OK : PST_NOTFOUND;
}

static void a_missing_issuer_is_asked_for_by_its_subject(void **state)
{
    auto_cert_result struct pst_cert_result r = {0};
    struct known k = {0};
    struct pst_cert_sources sources = {.known = know, .arg = &k};
    struct asking a;
    struct pst_err err = {0};
    uint8_t issuer[32];
    struct pair p;

    make_pair(&p);
    assert_ok(pst_cert_judge(NULL, &sources, ask(&a, &p.leaf), &r, &err), err);
    assert_true(r.accepted && pst_cert_has(&r, PST_CERT_INTERMEDIATE_MISSING));
    assert_int_equal(k.asked, 1);
    assert_ok(pst_der_issuer_sha256(p.der.data, p.der.len, issuer, &err), err);
    assert_memory_equal(k.subject, issuer, 32);

    k = (struct known){.pem = &p.root};
    assert_ok(pst_cert_judge(NULL, &sources, &a.req, &r, &err), err);
    assert_true(r.accepted && r.findings_n == 0);
    assert_int_equal(r.chain.issuers_n, 0); /* it is a root, which is not sent along */
    assert_int_equal(k.asked, 1);

    k = (struct known){.pem = &p.leaf}; /* an answer that does not help ends the asking */
    assert_ok(pst_cert_judge(NULL, &sources, &a.req, &r, &err), err);
    assert_int_equal(k.asked, 1);

    k = (struct known){.rc = PST_EDB};
    assert_rc(pst_cert_judge(NULL, &sources, &a.req, &r, &err), PST_EDB, err);
    free_pair(&p);
}

/* ---- the reading process ---- */

/* Start it as posternd would, with a program in its place. */
static int judge_with(const char *program, uint32_t wall_ms, struct pst_cert_result *r,
                      struct pst_err *err)
{
    struct pst_cert_process process = {
        .program = program, .clock = pst_clock_system(), .wall_ms = wall_ms};
    struct asking a;
    struct pair p;
    int rc;

    make_pair(&p);
    rc = pst_cert_judge(&process, NULL, ask(&a, &p.leaf), r, err);
    free_pair(&p);
    return rc;
}

static void it_reads_as_well_as_we_do(void **state)
{
    auto_cert_result struct pst_cert_result r = {0};
    struct pst_err err = {0};

    assert_ok(judge_with(NULL, 20000, &r, &err), err);
    assert_true(r.accepted);
    assert_string_equal(r.chain.info.names[0], "www.example.com");
}

/* posternd keeps debuggers and core files away from itself: it must still find its own program. */
static void a_process_that_hides_can_start_it(void **state)
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        struct pst_cert_result r = {0};
        bool ok = prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 &&
                  judge_with(NULL, 20000, &r, NULL) == PST_OK && r.accepted;

        _exit(ok ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void one_that_is_late_is_ended(void **state)
{
    auto_cert_result struct pst_cert_result r = {0};
    struct pst_err err = {0};

    assert_ok(judge_with(NULL, 1, &r, &err), err);
    assert_false(r.accepted);
    assert_true(pst_cert_has(&r, PST_CERT_UNREADABLE));
    assert_non_null(strstr(r.findings[0].sentence, "too long"));
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* and none is left behind */
}

/* A program made of a line of shell. */
static int judge_with_script(const char *line, struct pst_cert_result *r, struct pst_err *err)
{
    char path[] = "/tmp/postern-cert-XXXXXX";
    auto_(pst_free) char *text = pst_asprintf("#!/bin/sh\n%s\n", line);
    int fd = mkstemp(path), rc;

    assert_true(fd >= 0 && text);
    assert_ok(pst_io_write_full(fd, text, strlen(text), err), *err);
    assert_int_equal(fchmod(fd, 0700), 0);
    assert_int_equal(close(fd), 0);
    rc = judge_with(path, 5000, r, err);
    assert_int_equal(unlink(path), 0);
    return rc;
}

static void death_is_a_finding_and_lies_are_a_fault(void **state)
{
    static const struct {
        const char *script;
        int rc;
        enum pst_cert_code code;
    } cases[] = {
        {"kill -SEGV $$", PST_OK, PST_CERT_UNREADABLE},
        {"kill -SYS $$", PST_OK, PST_CERT_UNREADABLE},
        {"kill -XCPU $$", PST_OK, PST_CERT_UNREADABLE},
        {"kill -KILL $$", PST_OK, PST_CERT_UNREADABLE},
        {"exit 5", PST_OK, PST_CERT_TOO_LARGE},
        {"exit 4", PST_EINTERNAL, 0},
        {"exit 0", PST_EINTERNAL, 0},
        {"printf '\\003\\000\\000\\000abc'", PST_EINTERNAL, 0},
        {"printf '\\377\\377\\377\\377abc'", PST_EINTERNAL, 0},
        {"head -c 5000000 /dev/zero", PST_EINPUT, 0},
        {"printf '\\004\\000\\000\\000PRS1'", PST_EINTERNAL, 0},
    };

    for (size_t i = 0; i < PST_ARRAY_N(cases); i++) {
        auto_cert_result struct pst_cert_result r = {0};
        struct pst_err err = {0};

        print_message("%s\n", cases[i].script);
        assert_rc(judge_with_script(cases[i].script, &r, &err), cases[i].rc, err);
        if (cases[i].rc == PST_OK) {
            assert_false(r.accepted);
            assert_true(pst_cert_has(&r, cases[i].code));
        }
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    }
}

static void one_that_cannot_be_started_is_a_fault(void **state)
{
    auto_cert_result struct pst_cert_result r = {0};
    struct pst_err err = {0};

    assert_rc(judge_with("/nonexistent/posternd", 1000, &r, &err), PST_ESYS, err);
}

/* ---- one that is kept ---- */

enum { MANY = 450 }; /* more than one process reads */

static void one_that_is_kept_reads_many_with_their_roots(void **state)
{
    auto_(pst_cert_reader_close) struct pst_cert_reader *reader = NULL;
    struct pst_cert_process process = {.clock = pst_clock_system(), .wall_ms = 20000};
    struct pst_buf nonsense = {.data = (char[]){"nonsense"}, .len = 8};
    struct pst_err err = {0};
    struct asking a;
    struct pair p;

    make_pair(&p);
    assert_ok(pst_cert_reader_open(&reader, &err), err);
    process.reader = reader;
    for (int i = 0; i < MANY; i++) {
        auto_cert_result struct pst_cert_result r = {0};

        ask(&a, i % 3 == 2 ? &nonsense : &p.leaf);
        a.req.roots = i < MANY / 2 ? NULL : p.root.data;
        a.req.roots_len = i < MANY / 2 ? 0 : p.root.len;
        assert_ok(pst_cert_judge(&process, NULL, &a.req, &r, &err), err);
        assert_int_equal(r.accepted, i % 3 != 2);
        if (i % 3 != 2)
            assert_int_equal(pst_cert_has(&r, PST_CERT_INTERMEDIATE_MISSING), i < MANY / 2);
    }
    pst_cert_reader_close(pst_take(&reader));
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    free_pair(&p);
}

/* The first process that a script starts is ended by `first`; the next one reads. */
static void kept_one_ends(const char *first, uint32_t wall_ms)
{
    auto_(pst_cert_reader_close) struct pst_cert_reader *reader = NULL;
    char path[] = "/tmp/postern-cert-XXXXXX", self[4096] = "", folder[64];
    auto_cert_result struct pst_cert_result r = {0};
    struct pst_err err = {0};
    struct asking a;
    struct pair p;
    int fd = mkstemp(path);

    assert_true(fd >= 0 && readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    (void)snprintf(folder, sizeof folder, "%s.d", path);
    auto_(pst_free) char *text = pst_asprintf(
        "#!/bin/sh\nif mkdir %s; then %s\nelse exec %s --role=parse; fi\n", folder, first, self);
    assert_ok(pst_io_write_full(fd, text, strlen(text), &err), err);
    assert_int_equal(fchmod(fd, 0700), 0);
    assert_int_equal(close(fd), 0);
    make_pair(&p);
    assert_ok(pst_cert_reader_open(&reader, &err), err);
    struct pst_cert_process process = {
        .program = path, .clock = pst_clock_system(), .wall_ms = wall_ms, .reader = reader};
    assert_ok(pst_cert_judge(&process, NULL, ask(&a, &p.leaf), &r, &err), err);
    assert_true(r.accepted);
    free_pair(&p);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void an_upload_that_ends_it_is_read_once_more_alone(void **state)
{
    kept_one_ends("kill -XCPU $$", 20000);
    kept_one_ends("exit 5", 20000);
    kept_one_ends("exec sleep 60", 3000);
}

/* ---- what it cannot do any more ---- */

static void open_a_file(void)
{
    if (open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0)
        _exit(1);
    _exit(0);
}

static void open_a_socket(void)
{
    (void)socket(AF_INET, SOCK_STREAM, 0);
    _exit(1);
}

static void fork_once(void)
{
    (void)fork();
    _exit(1);
}

static void execute(void)
{
    char *argv[] = {(char[]){"true"}, NULL};

    (void)execv("/bin/true", argv);
    _exit(1);
}

static void make_code(void)
{
    (void)mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    _exit(1);
}

static void write_elsewhere(void)
{
    if (write(STDERR_FILENO, "", 0) >= 0)
        _exit(1);
    _exit(1);
}

static void signal_somebody(void)
{
    (void)kill(getppid(), 0);
    _exit(1);
}

static void use_much_memory(void)
{
    char *p = mmap(NULL, 100 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    _exit(p == MAP_FAILED ? 0 : 1);
}

static void think_for_ever(void)
{
    for (volatile unsigned i = 0;; i++) {
    }
}

static void raise_a_limit(void)
{
    struct rlimit more = {RLIM_INFINITY, RLIM_INFINITY};

    _exit(setrlimit(RLIMIT_CPU, &more) < 0 ? 0 : 1);
}

#if defined(__SANITIZE_ADDRESS__)
#define LIMITED false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LIMITED false
#endif
#endif
#ifndef LIMITED
#define LIMITED true
#endif

static void a_taken_reader_can_do_nothing(void **state)
{
    static const struct {
        const char *name;
        void (*deed)(void);
        bool survives;     /* the deed fails, which it tells with status 0 */
        bool limited_only; /* the sanitizer has no such limit */
    } deeds[] = {
        {"open a file", open_a_file, true, false},
        {"open a socket", open_a_socket, false, false},
        {"fork", fork_once, false, false},
        {"execute", execute, false, false},
        {"make code", make_code, false, false},
        {"write elsewhere", write_elsewhere, false, false},
        {"signal somebody", signal_somebody, false, false},
        {"raise a limit", raise_a_limit, true, false},
        {"use much memory", use_much_memory, true, true},
        {"think for ever", think_for_ever, false, true},
    };

    for (size_t i = 0; i < PST_ARRAY_N(deeds); i++) {
        int status = 0;
        pid_t pid;

        if (deeds[i].limited_only && !LIMITED)
            continue;
        print_message("%s\n", deeds[i].name);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            if (pst_sandbox_enter(NULL) != PST_OK)
                _exit(2);
            deeds[i].deed();
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (deeds[i].survives)
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        else
            assert_true(WIFSIGNALED(status) &&
                        (WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGKILL));
    }
}

/* ---- the pipe ---- */

static void a_result_cut_anywhere_is_refused(void **state)
{
    auto_cert_result struct pst_cert_result r = {0}, again = {0};
    auto_buf struct pst_buf wire = PST_BUF(PST_WIRE_MAX);
    struct asking a;
    struct pst_err err = {0};
    struct pair p;

    make_pair(&p);
    assert_ok(pst_cert_judge(NULL, NULL, ask(&a, &p.leaf), &r, &err), err);
    pst_wire_write_result(&r, &wire);
    for (size_t len = 0; len < wire.len; len++) {
        auto_(pst_free) char *cut = pst_memdup(wire.data, len);

        assert_rc(pst_wire_read_result(cut, len, &again, &err), PST_EINTERNAL, err);
    }
    assert_ok(pst_wire_read_result(wire.data, wire.len, &again, &err), err);
    assert_string_equal(again.chain.info.subject, r.chain.info.subject);
    pst_buf_char(&wire, 0);
    assert_rc(pst_wire_read_result(wire.data, wire.len, &again, &err), PST_EINTERNAL, err);
    free_pair(&p);
}

static void a_request_cut_anywhere_is_refused(void **state)
{
    auto_buf struct pst_buf wire = PST_BUF(PST_WIRE_MAX);
    auto_(pst_free) struct pst_wire_request *again = pst_zalloc(1, sizeof *again);
    struct pst_secret passphrase = {(unsigned char *)"secret", 6};
    struct asking a;
    struct pair p;

    make_pair(&p);
    (void)ask(&a, &p.leaf);
    a.req.passphrase = &passphrase;
    a.req.roots = p.root.data;
    a.req.roots_len = p.root.len;
    pst_wire_write_request(&a.req, &wire);
    for (size_t len = 0; len < wire.len; len++) {
        auto_(pst_free) char *cut = pst_memdup(wire.data, len);

        assert_false(pst_wire_read_request(cut, len, again));
    }
    assert_true(pst_wire_read_request(wire.data, wire.len, again));
    assert_int_equal(again->req.inputs[0].len, p.leaf.len);
    assert_int_equal(again->req.passphrase->len, 6);
    assert_string_equal(again->req.names[0], "www.example.com");
    free_pair(&p);
}

/* ---- the rest ---- */

static void no_memory_is_survived(void **state)
{
    struct asking a;
    struct pst_err err = {0};
    struct pair p;
    int rc;

    make_pair(&p);
    (void)ask(&a, &p.leaf);
    assert_survives_no_memory(rc, {
        auto_cert_result struct pst_cert_result r = {0};

        rc = pst_cert_judge(NULL, NULL, &a.req, &r, &err);
    });
    assert_survives_no_memory(rc, {
        auto_cert_result struct pst_cert_result r = {0};
        auto_(pst_json_free) struct pst_json *j = NULL;

        rc = pst_cert_judge(NULL, NULL, &a.req, &r, NULL);
        if (rc == PST_OK)
            rc = pst_cert_report_json(&r, &j, NULL);
        if (rc == PST_OK) {
            pst_json_free(pst_take(&j));
            rc = pst_cert_show_json(&a.req, &j, NULL);
        }
    });
    free_pair(&p);
}

static void errors_stand_by_field(void **state)
{
    static const char upload[] = "===== BEGIN CERTIFICATE ======";
    struct pst_buf text = {.data = (char *)(uintptr_t)upload, .len = sizeof upload - 1};
    auto_cert_result struct pst_cert_result r = {0};
    auto_(pst_json_free) struct pst_json *errors = NULL, *findings = NULL;
    const struct pst_json *first;
    struct asking a;
    struct pst_err err = {0};

    (void)ask(&a, &text);
    a.req.key_optional = false;
    a.input.field = PST_CERT_FIELD_CERT;
    assert_ok(pst_cert_judge(NULL, NULL, &a.req, &r, &err), err);
    assert_ok(pst_cert_errors_json(&r, &errors, &err), err);
    assert_int_equal(pst_json_len(errors), 1);
    assert_non_null(
        strstr(pst_json_text(pst_json_at(pst_json_get(errors, "tlscert"), 0)), "five hyphens"));
    assert_ok(pst_cert_findings_json(&r, &findings, &err), err);
    first = pst_json_at(findings, 0);
    assert_string_equal(pst_json_get_text(first, "code"), "unreadable");
    assert_string_equal(pst_json_get_text(first, "severity"), "error");
    assert_string_equal(pst_json_get_text(first, "field"), "tlscert");
}

static void every_code_is_whole_and_has_one_name(void **state)
{
    for (enum pst_cert_code c = 0; c < PST_CERT_CODE__COUNT; c++) {
        enum pst_cert_code back;

        assert_non_null(pst_cert_code_name(c));
        assert_true(strlen(pst_cert_code_fix(c)) > 10);
        assert_true(pst_cert_code_parse(pst_cert_code_name(c), &back) && back == c);
    }
    assert_false(pst_cert_code_parse("nonsense", &(enum pst_cert_code){0}));
}

static void limits_of_a_request_are_kept(void **state)
{
    auto_cert_result struct pst_cert_result r = {0};
    struct pst_cert_input many[PST_CERT_INPUTS_MAX + 1] = {{"", 0, PST_CERT_FIELD_CERT}};
    struct pst_cert_request req = {.inputs = many, .inputs_n = PST_ARRAY_N(many), .at = NOW};
    struct pst_secret long_one = {(unsigned char *)"", PST_CERT_PASSPHRASE_MAX + 1};
    struct pst_err err = {0};

    assert_ok(pst_cert_judge(NULL, NULL, &req, &r, &err), err);
    assert_true(pst_cert_has(&r, PST_CERT_TOO_LARGE));
    req.inputs_n = 1;
    req.passphrase = &long_one;
    assert_ok(pst_cert_judge(NULL, NULL, &req, &r, &err), err);
    assert_true(pst_cert_has(&r, PST_CERT_TOO_LARGE));
    req.passphrase = NULL;
    req.roots_len = PST_CERT_ROOTS_MAX + 1;
    assert_rc(pst_cert_judge(NULL, NULL, &req, &r, &err), PST_EINTERNAL, err);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_issuer_is_asked_for_by_its_subject),
        cmocka_unit_test(it_reads_as_well_as_we_do),
        cmocka_unit_test(a_process_that_hides_can_start_it),
        cmocka_unit_test(one_that_is_late_is_ended),
        cmocka_unit_test(death_is_a_finding_and_lies_are_a_fault),
        cmocka_unit_test(one_that_cannot_be_started_is_a_fault),
        cmocka_unit_test(one_that_is_kept_reads_many_with_their_roots),
        cmocka_unit_test(an_upload_that_ends_it_is_read_once_more_alone),
        cmocka_unit_test(a_taken_reader_can_do_nothing),
        cmocka_unit_test(a_result_cut_anywhere_is_refused),
        cmocka_unit_test(a_request_cut_anywhere_is_refused),
        cmocka_unit_test(no_memory_is_survived),
        cmocka_unit_test(errors_stand_by_field),
        cmocka_unit_test(every_code_is_whole_and_has_one_name),
        cmocka_unit_test(limits_of_a_request_are_kept),
    };

    if (argc == 2 && strcmp(argv[1], "--role=parse") == 0)
        return pst_cert_parse_child_main();
    pst_require(pst_crypto_init(false, NULL) == PST_OK);
    pst_read_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
