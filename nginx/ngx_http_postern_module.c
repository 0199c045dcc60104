/*
 * ngx_http_postern_module - one server block serves all domains of a platform.
 *
 * The module reads Postern's replica (an LMDB file that postern-edged writes) and nothing else.
 * For each TLS handshake it looks the server name up and hands out the certificate that the
 * name's ladder gives now; for each request it looks Host up and hands it to the app's upstreams.
 * A change in the replica counts from the next handshake or request on; there is no reload.
 *
 * Directives
 *
 *   postern_replica PATH;                    http
 *       The replica's folder: the one with `v1/current` in it.  It need not exist yet.
 *   postern_key_file PATH;                   http
 *       The edge's local key, 32 bytes, readable by its owner only.  Read by the master process
 *       when the configuration is loaded; workers inherit it.
 *   postern_cache SIZE;                      http; 96m
 *       How much each worker keeps of parsed certificates (about 10 kB each), addresses and last
 *       known records.
 *   postern_public_https_port PORT;          http; 443
 *   postern_public_http_port PORT;           http; 80
 *       The ports that clients see, for redirects and X-Forwarded-Port.
 *   postern on | off;                        server; off
 *       Certificates and routing of this server block come from the replica.  It must be the
 *       default server of its TLS addresses and needs no ssl_certificate; an ssl_certificate in
 *       the same block is used when neither a name's ladder nor the platform's default gives a
 * certificate. postern_unknown_names refuse | default;  http, server; refuse A handshake for a name
 * that is not in the replica: refused with unrecognized_name, or served with the platform's default
 * certificate. postern_upstream [keepalive=16] [keepalive_max=1024] [requests=1000]
 * [idle_timeout=60s] [fail_timeout=10s];     upstream This upstream block stands for whatever
 * upstreams the request's app has.  keepalive: idle connections per upstream and worker;
 * keepalive_max: in all; fail_timeout: how long an upstream that refused a connection is passed
 * over. postern_status;                          location Counters as Prometheus metrics.
 *
 * Variables, for proxy_set_header (a header set there replaces what the client sent)
 *
 *   $postern_forwarded_port   the public port: postern_public_https_port with TLS, else
 *                             postern_public_http_port
 *   $postern_request_id       the client's X-Request-ID if it is sane, else a new one
 *   $postern_request_start    t=<Unix seconds>.<ms>, when the request arrived
 *   $postern_app              the app's id, for logs
 *
 * Processes.  LMDB is opened by each worker after the fork, never by the master.  Nothing about
 * the replica stops a worker: missing, damaged, cut off or replaced, it goes on with what it has
 * cached, refuses what it cannot know, counts it, and tries again once a second.
 */
#include "ngx_http_postern.h"

#include <sys/stat.h>

struct postern_worker postern;

/* Until the shared memory is there (and in processes that have none). */
static struct postern_shared unshared;

/* ---- directives ---- */

static char *read_key_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *status_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *on_off(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

static ngx_conf_num_bounds_t port_bounds = {ngx_conf_check_num_bounds, 1, 65535};

static ngx_conf_enum_t unknown_names[] = {
    {ngx_string("refuse"), POSTERN_UNKNOWN_REFUSE},
    {ngx_string("default"), POSTERN_UNKNOWN_DEFAULT},
    {ngx_null_string, 0},
};

static ngx_command_t commands[] = {
    {ngx_string("postern_replica"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1, ngx_conf_set_str_slot,
     NGX_HTTP_MAIN_CONF_OFFSET, offsetof(struct postern_main_conf, replica), NULL},
    {ngx_string("postern_key_file"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1, read_key_file,
     NGX_HTTP_MAIN_CONF_OFFSET, 0, NULL},
    {ngx_string("postern_cache"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1, ngx_conf_set_size_slot,
     NGX_HTTP_MAIN_CONF_OFFSET, offsetof(struct postern_main_conf, cache_bytes), NULL},
    {ngx_string("postern_public_https_port"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
     ngx_conf_set_num_slot, NGX_HTTP_MAIN_CONF_OFFSET,
     offsetof(struct postern_main_conf, https_port), &port_bounds},
    {ngx_string("postern_public_http_port"), NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE1,
     ngx_conf_set_num_slot, NGX_HTTP_MAIN_CONF_OFFSET,
     offsetof(struct postern_main_conf, http_port), &port_bounds},
    {ngx_string("postern"), NGX_HTTP_SRV_CONF | NGX_CONF_FLAG, on_off, NGX_HTTP_SRV_CONF_OFFSET,
     offsetof(struct postern_srv_conf, enable), NULL},
    {ngx_string("postern_unknown_names"), NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_CONF_TAKE1,
     ngx_conf_set_enum_slot, NGX_HTTP_SRV_CONF_OFFSET,
     offsetof(struct postern_srv_conf, unknown_names), unknown_names},
    {ngx_string("postern_upstream"), NGX_HTTP_UPS_CONF | NGX_CONF_ANY, postern_upstream_directive,
     NGX_HTTP_SRV_CONF_OFFSET, 0, NULL},
    {ngx_string("postern_status"), NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS, status_directive,
     NGX_HTTP_LOC_CONF_OFFSET, 0, NULL},
    ngx_null_command,
};

/* Read as the user that starts nginx, so that the workers' user never needs to. */
static char *read_key_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    struct postern_main_conf *pmcf = conf;
    ngx_str_t *args = cf->args->elts;
    u_char key[PST_REPLICA_LOCAL_KEY + 1];
    struct stat st;

    if (pmcf->key)
        return "is duplicate";
    pmcf->key_file = args[1];
    if (ngx_conf_full_name(cf->cycle, &pmcf->key_file, 1) != NGX_OK)
        return NGX_CONF_ERROR;
    int fd = open((const char *)pmcf->key_file.data, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno, "cannot open the key file \"%V\"",
                           &pmcf->key_file);
        if (fd >= 0)
            (void)close(fd);
        return NGX_CONF_ERROR;
    }
    ssize_t n = read(fd, key, sizeof key);
    (void)close(fd);
    if (n != PST_REPLICA_LOCAL_KEY || (st.st_mode & 077)) {
        ngx_explicit_memzero(key, sizeof key);
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "the key file \"%V\" %s", &pmcf->key_file,
                           n != PST_REPLICA_LOCAL_KEY
                               ? "does not have exactly 32 bytes"
                               : "may be read by group or others: chmod 0600");
        return NGX_CONF_ERROR;
    }
    pmcf->key = ngx_palloc(cf->pool, PST_REPLICA_LOCAL_KEY);
    if (pmcf->key)
        ngx_memcpy(pmcf->key, key, PST_REPLICA_LOCAL_KEY);
    ngx_explicit_memzero(key, sizeof key);
    return pmcf->key ? NGX_CONF_OK : NGX_CONF_ERROR;
}

/*
 * nginx refuses `listen ... ssl` without a certificate, but is content with an empty list of them.
 * An ssl_certificate in the same block, before or after, goes into that list.
 */
static char *on_off(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_ssl_srv_conf_t *tls = ngx_http_conf_get_module_srv_conf(cf, ngx_http_ssl_module);
    const struct postern_srv_conf *psc = conf;
    char *rc = ngx_conf_set_flag_slot(cf, cmd, conf);

    if (rc != NGX_CONF_OK || !psc->enable || tls->certificates != NGX_CONF_UNSET_PTR)
        return rc;
    tls->certificates = ngx_array_create(cf->pool, 1, sizeof(ngx_str_t));
    tls->certificate_keys = ngx_array_create(cf->pool, 1, sizeof(ngx_str_t));
    return tls->certificates && tls->certificate_keys ? NGX_CONF_OK : NGX_CONF_ERROR;
}

static char *status_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t *clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    clcf->handler = postern_status_handler;
    return NGX_CONF_OK;
}

/* ---- configuration ---- */

static void *create_main_conf(ngx_conf_t *cf)
{
    struct postern_main_conf *c = ngx_pcalloc(cf->pool, sizeof *c);

    if (c) {
        c->cache_bytes = NGX_CONF_UNSET_SIZE;
        c->https_port = NGX_CONF_UNSET_UINT;
        c->http_port = NGX_CONF_UNSET_UINT;
    }
    return c;
}

static void wipe_key(void *data)
{
    ngx_explicit_memzero(data, PST_REPLICA_LOCAL_KEY);
}

static ngx_int_t zone_init(ngx_shm_zone_t *zone, void *data)
{
    ngx_slab_pool_t *pool = (ngx_slab_pool_t *)zone->shm.addr;

    if (data) { /* a reload: the counters go on */
        zone->data = data;
        return NGX_OK;
    }
    if (zone->shm.exists) {
        zone->data = pool->data;
        return NGX_OK;
    }
    pool->data = ngx_slab_calloc(pool, sizeof(struct postern_shared));
    zone->data = pool->data;
    return pool->data ? NGX_OK : NGX_ERROR;
}

static char *init_main_conf(ngx_conf_t *cf, void *conf)
{
    static ngx_str_t zone_name = ngx_string("postern");
    struct postern_main_conf *c = conf;
    ngx_pool_cleanup_t *cln;

    ngx_conf_init_size_value(c->cache_bytes, 96 * 1024 * 1024);
    ngx_conf_init_uint_value(c->https_port, 443);
    ngx_conf_init_uint_value(c->http_port, 80);
    if (c->replica.len && ngx_conf_full_name(cf->cycle, &c->replica, 0) != NGX_OK)
        return NGX_CONF_ERROR;
    if (c->key) {
        cln = ngx_pool_cleanup_add(cf->pool, 0);
        if (cln == NULL)
            return NGX_CONF_ERROR;
        cln->handler = wipe_key;
        cln->data = c->key;
    }
    c->zone = ngx_shared_memory_add(cf, &zone_name, 8 * ngx_pagesize, &ngx_http_postern_module);
    if (c->zone == NULL)
        return NGX_CONF_ERROR;
    c->zone->init = zone_init;
    return NGX_CONF_OK;
}

static void *create_srv_conf(ngx_conf_t *cf)
{
    struct postern_srv_conf *c = ngx_pcalloc(cf->pool, sizeof *c);

    if (c == NULL)
        return NULL;
    c->enable = NGX_CONF_UNSET;
    c->unknown_names = NGX_CONF_UNSET_UINT;
    c->keepalive = 16;
    c->keepalive_max = 1024;
    c->requests = 1000;
    c->idle_timeout = 60 * 1000;
    c->fail_timeout = 10 * 1000;
    return c;
}

static char *merge_srv_conf(ngx_conf_t *cf, void *parent, void *child)
{
    struct postern_srv_conf *prev = parent, *conf = child;

    ngx_conf_merge_value(conf->enable, prev->enable, 0);
    ngx_conf_merge_uint_value(conf->unknown_names, prev->unknown_names, POSTERN_UNKNOWN_REFUSE);
    return NGX_CONF_OK;
}

/* ---- after the configuration ---- */

static ngx_int_t install_server(ngx_conf_t *cf, ngx_http_core_srv_conf_t *server)
{
    const struct postern_srv_conf *psc = server->ctx->srv_conf[ngx_http_postern_module.ctx_index];
    const ngx_http_ssl_srv_conf_t *tls = server->ctx->srv_conf[ngx_http_ssl_module.ctx_index];

    if (!psc->enable || tls->ssl.ctx == NULL)
        return NGX_OK;
    if (tls->reject_handshake) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"postern on\" and \"ssl_reject_handshake on\" exclude each other in %s:%ui",
                      server->file_name, server->line);
        return NGX_ERROR;
    }
    if (tls->certificate_values) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"postern on\" and variables in \"ssl_certificate\" exclude each other "
                      "in %s:%ui",
                      server->file_name, server->line);
        return NGX_ERROR;
    }
    if (tls->early_data) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"postern on\" and \"ssl_early_data on\" exclude each other in %s:%ui",
                      server->file_name, server->line);
        return NGX_ERROR;
    }
    return postern_tls_install(tls->ssl.ctx, cf->log);
}

static const struct postern_srv_conf *postern_of(ngx_http_core_srv_conf_t *server)
{
    return server->ctx->srv_conf[ngx_http_postern_module.ctx_index];
}

/*
 * Some of OpenSSL's callbacks act from the SSL_CTX of the address's default server, so that one
 * must be ours; and sessions are bound to SNI instead of to what nginx binds them to, which would
 * lose the list of client CAs, so client certificates must be on another address.
 */
static ngx_int_t check_address(ngx_conf_t *cf, const ngx_http_conf_addr_t *addr)
{
    ngx_http_core_srv_conf_t **servers = addr->servers.elts;
    ngx_uint_t ours = 0, verifies = 0;

    if (!addr->opt.ssl)
        return NGX_OK;
    for (ngx_uint_t i = 0; i < addr->servers.nelts; i++) {
        const ngx_http_ssl_srv_conf_t *tls =
            servers[i]->ctx->srv_conf[ngx_http_ssl_module.ctx_index];
        ours |= postern_of(servers[i])->enable != 0;
        verifies |= tls->verify != 0;
    }
    if (ours && !postern_of(addr->default_server)->enable) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "on %V a server block with \"postern on\" must be the default_server",
                      &addr->opt.addr_text);
        return NGX_ERROR;
    }
    if (ours && verifies) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "on %V \"ssl_verify_client\" cannot stand beside \"postern on\"",
                      &addr->opt.addr_text);
        return NGX_ERROR;
    }
    return NGX_OK;
}

static ngx_int_t check_addresses(ngx_conf_t *cf, ngx_http_core_main_conf_t *cmcf)
{
    const ngx_http_conf_port_t *port = cmcf->ports ? cmcf->ports->elts : NULL;

    for (ngx_uint_t p = 0; port && p < cmcf->ports->nelts; p++) {
        const ngx_http_conf_addr_t *addr = port[p].addrs.elts;
        for (ngx_uint_t a = 0; a < port[p].addrs.nelts; a++) {
            if (check_address(cf, &addr[a]) != NGX_OK)
                return NGX_ERROR;
        }
    }
    return NGX_OK;
}

static ngx_int_t postconfiguration(ngx_conf_t *cf)
{
    ngx_http_core_main_conf_t *cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    const struct postern_main_conf *pmcf =
        ngx_http_conf_get_module_main_conf(cf, ngx_http_postern_module);
    ngx_http_core_srv_conf_t **servers = cmcf->servers.elts;
    ngx_uint_t used = 0;
    ngx_http_handler_pt *h;

    if (postern_tls_init(cf->log) != NGX_OK)
        return NGX_ERROR;
    for (ngx_uint_t i = 0; i < cmcf->servers.nelts; i++) {
        used |= postern_of(servers[i])->enable != 0;
        if (install_server(cf, servers[i]) != NGX_OK)
            return NGX_ERROR;
    }
    if (!used)
        return NGX_OK;
    if (pmcf->replica.len == 0 || pmcf->key == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"postern on\" needs \"postern_replica\" and \"postern_key_file\"");
        return NGX_ERROR;
    }
    h = ngx_array_push(&cmcf->phases[NGX_HTTP_POST_READ_PHASE].handlers);
    if (h == NULL)
        return NGX_ERROR;
    *h = postern_post_read_handler;
    postern_redirect_install();
    return check_addresses(cf, cmcf);
}

/* ---- processes ---- */

static void exit_process(ngx_cycle_t *cycle)
{
    pst_replica_reader_free(postern.reader);
    postern.reader = NULL;
    postern_cache_deinit();
    postern_ticket_deinit();
    postern_key_deinit();
    postern_address_deinit();
}

/* Never NGX_ERROR: a worker that fails here is not started again, and nobody would answer. */
static ngx_int_t init_process(ngx_cycle_t *cycle)
{
    const struct postern_main_conf *pmcf =
        ngx_http_cycle_get_module_main_conf(cycle, ngx_http_postern_module);

    postern.shared = &unshared;
    postern.log = cycle->log;
    if (pmcf == NULL || ngx_process == NGX_PROCESS_HELPER)
        return NGX_OK;
    if (pmcf->zone->data)
        postern.shared = pmcf->zone->data;
    postern.https_port = pmcf->https_port;
    postern.http_port = pmcf->http_port;
    if (pmcf->replica.len == 0 || pmcf->key == NULL)
        return NGX_OK;
    if (postern_cache_init(pmcf->cache_bytes, cycle->log) != NGX_OK ||
        postern_key_init(pmcf->key, cycle->log) != NGX_OK ||
        postern_ticket_init(cycle->log) != NGX_OK || postern_address_init(cycle) != NGX_OK ||
        pst_replica_reader_new(&postern.reader, (const char *)pmcf->replica.data) !=
            PST_REPLICA_OK) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, 0,
                      "postern: this worker could not be set up and will refuse everything");
        exit_process(cycle);
    }
    return NGX_OK;
}

static ngx_http_module_t context = {
    postern_add_variables, /* preconfiguration */
    postconfiguration,
    create_main_conf,
    init_main_conf,
    create_srv_conf,
    merge_srv_conf,
    NULL, /* create location configuration */
    NULL, /* merge location configuration */
};

ngx_module_t ngx_http_postern_module = {
    NGX_MODULE_V1,
    &context,
    commands,
    NGX_HTTP_MODULE,
    NULL, /* init master */
    NULL, /* init module */
    init_process,
    NULL, /* init thread */
    NULL, /* exit thread */
    exit_process,
    NULL, /* exit master */
    NGX_MODULE_V1_PADDING,
};
