/* store_env_test.c - variables of apps, and tokens with less than their user's rights. */
#include "store_fixture.h"

static struct pst_variable variable(struct fixture *f, const char *name, const char *value)
{
    struct pst_variable v = {0};

    pst_str_copy(v.app_id, sizeof v.app_id, f->app.id);
    pst_str_copy(v.name, sizeof v.name, name);
    assert_ok(pst_secret_set(&v.value, value, strlen(value), &f->err), f->err);
    return v;
}

TX(set_variable)
{
    int rc = pst_variable_set(tx, arg, err);
    return rc == PST_DONE ? PST_OK : rc;
}

static void set(struct fixture *f, const char *name, const char *value, char ret_id[PST_ID_SIZE])
{
    struct pst_variable v = variable(f, name, value);

    assert_int_equal(commit(f, set_variable, &v), 0); /* edges need none of it */
    if (ret_id)
        pst_str_copy(ret_id, PST_ID_SIZE, v.id);
    pst_variable_deinit(&v);
}

struct search {
    const char *app_id, *key;
    struct pst_variable found;
};

TX(get_variable)
{
    struct search *s = arg;
    return pst_variable_get(tx, s->app_id, s->key, &s->found, err);
}

static void assert_value(struct fixture *f, const char *key, const char *value)
{
    struct search s = {.app_id = f->app.id, .key = key};

    look(f, get_variable, &s);
    assert_string_equal((const char *)s.found.value.data, value);
    pst_variable_deinit(&s.found);
}

static void variables_are_overwritten_by_name(void **state)
{
    struct fixture *f = *state;
    char first[PST_ID_SIZE], second[PST_ID_SIZE];
    struct search foreign = {.app_id = "0123456789abcdef01234567", .key = "DNS_PROVIDER"};

    set(f, "DNS_PROVIDER", "ovh", first);
    set(f, "EMPTY", "", NULL);
    set(f, "DNS_PROVIDER", "azure", second);
    assert_string_equal(first, second);
    assert_value(f, "DNS_PROVIDER", "azure");
    assert_value(f, first, "azure");
    assert_rc(pst_store_read(f->store, get_variable, &foreign, &f->err), PST_NOTFOUND, f->err);
}

static const struct pst_stmt *statement(const char *name)
{
    for (size_t k = 0; k < pst_store_sql_variable.n; k++)
        if (pst_streq(pst_store_sql_variable.stmts[k].name, name))
            return &pst_store_sql_variable.stmts[k];
    return NULL;
}

TX(look_at_rest)
{
    auto_(pst_rows_free) struct pst_rows *rows = NULL;
    size_t len;

    int rc = pst_one(tx, statement("variable.each"), &rows, err, pst_t(arg));
    if (rc == PST_OK) {
        const void *blob = pst_col_b(rows, 5, &len);
        want(len > strlen("hunter2") && memmem(blob, len, "hunter2", 7) == NULL);
    }
    return rc;
}

static void values_are_sealed_at_rest(void **state)
{
    struct fixture *f = *state;

    set(f, "SECRET", "hunter2", NULL);
    look(f, look_at_rest, f->app.id);
    assert_ok(open_again(f, f->key_file), f->err);
    assert_value(f, "SECRET", "hunter2");
}

TX(delete_app)
{
    return pst_app_delete(tx, arg, err);
}

TX(insert_token)
{
    return pst_token_insert(tx, arg, err);
}

TX(get_token)
{
    struct pst_token *t = arg;
    return pst_token_get(tx, t->id, t, err);
}

TX(renew_token)
{
    return pst_token_renew(tx, arg, "new hash", err);
}

static void a_deleted_app_takes_its_variables_and_tokens(void **state)
{
    struct fixture *f = *state;
    struct pst_token bound = {.name = "deploy", .hash = "a", .read_only = true};
    struct pst_token free_one = {.name = "free", .hash = "b"};

    pst_str_copy(bound.user_id, sizeof bound.user_id, f->user.id);
    pst_str_copy(bound.app_id, sizeof bound.app_id, f->app.id);
    pst_str_copy(free_one.user_id, sizeof free_one.user_id, f->user.id);
    set(f, "A", "b", NULL);
    commit(f, insert_token, &bound);
    commit(f, insert_token, &free_one);
    commit(f, renew_token, bound.id);
    look(f, get_token, &bound);
    assert_true(bound.read_only);
    assert_string_equal(bound.app_id, f->app.id);
    assert_string_equal(bound.hash, "new hash");
    assert_int_equal(bound.issued_at_ms, NOW_MS);
    commit(f, delete_app, f->app.id);
    assert_rc(pst_store_read(f->store, get_token, &bound, &f->err), PST_NOTFOUND, f->err);
    look(f, get_token, &free_one);
}

TX(delete_user)
{
    return pst_user_delete(tx, arg, err);
}

TX(update_user)
{
    return pst_user_update(tx, arg, err);
}

TX(get_user_again)
{
    struct pst_user *u = arg;
    return pst_user_get(tx, u->id, u, err);
}

static void a_user_goes_with_the_last_app(void **state)
{
    struct fixture *f = *state;
    struct pst_user u = f->user;

    u.role = PST_ROLE_READER;
    pst_str_copy(u.email, sizeof u.email, "a@example.com");
    commit(f, update_user, &u);
    look(f, get_user_again, &f->user);
    assert_int_equal(f->user.role, PST_ROLE_READER);
    assert_string_equal(f->user.email, "a@example.com");
    assert_rc(pst_store_write(f->store, delete_user, f->user.id, NULL, &f->err), PST_CONFLICT,
              f->err);
    commit(f, delete_app, f->app.id);
    commit(f, delete_user, f->user.id);
    assert_rc(pst_store_read(f->store, get_user_again, &u, &f->err), PST_NOTFOUND, f->err);
}

struct favourite {
    char app_id[PST_ID_SIZE], id[PST_ID_SIZE];
};

TX(set_favourite)
{
    struct favourite *v = arg;
    return pst_app_favourite_set(tx, v->app_id, v->id, err);
}

TX(get_favourite)
{
    struct favourite *v = arg;
    return pst_app_favourite(tx, v->app_id, v->id, err);
}

static void a_favourite_goes_with_its_domain(void **state)
{
    struct fixture *f = *state;
    struct pst_domain d = domain(f, "www.example.com");
    struct favourite v = {0};

    pst_str_copy(v.app_id, sizeof v.app_id, f->app.id);
    assert_rc(pst_store_read(f->store, get_favourite, &v, &f->err), PST_NOTFOUND, f->err);
    commit(f, domain_insert, &d);
    pst_str_copy(v.id, sizeof v.id, d.id);
    commit(f, set_favourite, &v);
    v.id[0] = '\0';
    look(f, get_favourite, &v);
    assert_string_equal(v.id, d.id);
    commit(f, domain_delete, d.id);
    assert_rc(pst_store_read(f->store, get_favourite, &v, &f->err), PST_NOTFOUND, f->err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(variables_are_overwritten_by_name),
        T(values_are_sealed_at_rest),
        T(a_deleted_app_takes_its_variables_and_tokens),
        T(a_user_goes_with_the_last_app),
        T(a_favourite_goes_with_its_domain),
    };
    return cmocka_run_group_tests_name(ENGINE, tests, NULL, NULL);
}
