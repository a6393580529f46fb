-- What wrk sends: WHAT is ping, count, login or mix (all three in turn). Prints one line of JSON at the end.
local what, token = os.getenv("WHAT"), os.getenv("TOKEN")
local user, password = os.getenv("ACCOUNT"), os.getenv("PASSWORD")
local host = "localhost"
local bearer = { Host = host, ["Authorization"] = "Bearer " .. token }
local json = { Host = host, ["Content-Type"] = "application/json" }
local body = '{"username":"' .. user .. '","password":"' .. password .. '"}'

wrk.headers["Host"] = host
-- One kind of request is made once by wrk itself, at no cost.
if what == "ping" then
    wrk.path = "/flask/api/ping"
elseif what == "count" then
    wrk.path, wrk.headers = "/flask/api/count", bearer
elseif what == "login" then
    wrk.method, wrk.path, wrk.headers, wrk.body = "POST", "/flask/auth/login", json, body
else
    local all, turn = nil, 0
    function request()
        all = all or {
            wrk.format("GET", "/flask/api/ping", { Host = host }),
            wrk.format("GET", "/flask/api/count", bearer),
            wrk.format("POST", "/flask/auth/login", json, body),
        }
        turn = turn % 3 + 1
        return all[turn]
    end
end

function done(summary, latency, requests)
    local e = summary.errors
    io.write(string.format(
        'RESULT {"requests":%d,"seconds":%.6f,"not_2xx":%d,"broken":%d,"p50":%.3f,"p99":%.3f,"max":%.3f}\n',
        summary.requests, summary.duration / 1e6, e.status, e.connect + e.read + e.write + e.timeout,
        latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency.max / 1000))
end
