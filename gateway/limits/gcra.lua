-- Spend from several GCRA limits in one atomic step: from one to `most` of each, or nothing of any.
-- The twin of gcra.draw in Python, which is its oracle in the contract tests.
--
-- KEYS[i]  one limit each; all in one hash slot (the tenant is the hash tag)
-- ARGV[1]  now in unix microseconds; 0 = this server's clock, so that all replicas agree on the time
-- ARGV[2 + 3(i-1) ...]  interval in microseconds, requests at once, most to grant
-- returns, four numbers for each key: granted, remaining, retry after (us), reset (us)
--
-- Microseconds since 1970 are below 2^53, so every number here is exact in a double.

local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local limits, fits = {}, true
for i, key in ipairs(KEYS) do
  local at = 2 + 3 * (i - 1)
  local interval, requests, most = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local stored = redis.call('GET', key)
  local tat = stored and tonumber(stored) or now
  if stored and not tonumber(stored) then
    return redis.error_reply('ERR not a rate limit: ' .. key)
  end
  local burst = interval * requests
  local backlog = math.min(math.max(tat - now, 0), burst)
  local room = math.floor((burst - backlog) / interval)
  limits[i] = {
    key = key, interval = interval, burst = burst, most = math.max(most, 1), backlog = backlog, room = room,
    ahead = tat - now > burst,
  }
  fits = fits and room >= 1
end

local answer = {}
for _, limit in ipairs(limits) do
  local granted, retry = 0, 0
  if fits then
    granted = math.min(limit.most, limit.room)
    limit.backlog = limit.backlog + granted * limit.interval
  else
    retry = math.max(limit.backlog + limit.interval - limit.burst, 0)
  end
  -- A state more than one burst ahead comes from a changed limit or a clock set back. It is written back as one
  -- burst also on refusal, else everybody would be locked out until then.
  if fits or limit.ahead then
    -- tostring would keep 14 digits only. The key ends when the limit is untouched, rounded up to milliseconds.
    redis.call('SET', limit.key, string.format('%.0f', now + limit.backlog), 'PX', math.ceil(limit.backlog / 1000))
  end
  answer[#answer + 1] = granted
  answer[#answer + 1] = limit.room - granted
  answer[#answer + 1] = retry
  answer[#answer + 1] = limit.backlog
end
return answer
