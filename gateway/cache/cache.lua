-- Look for an answer, keep one, throw answers away, each in one atomic step.
--
-- KEYS[1]  marks: a hash of tag -> when what carries it was thrown away (ms)
-- KEYS[2]  index: a sorted set of entries by when they end (ms)
-- KEYS[3]  entry: 13 digits, since when it counts (ms), and then what is sealed
-- KEYS[4]  flight: the token of whoever is fetching the answer
--          All have the tenant as hash tag, so they are in one slot. `mark` has the first alone.
-- ARGV[1]  the operation
-- look     ARGV: token, how long others wait (ms; 0: nobody does), tags. Returns state, now, entry:
--          0 nothing, 1 found, 2 nothing and others wait for you, 3 nothing yet: somebody is fetching it
-- poll     ARGV: token (of nobody), 0, tags. The same; 3 as long as somebody is fetching it
-- keep     ARGV: token, since (ms), sealed, life (ms), most entries, 1 if an entry that is there stays. Returns 1 if kept
-- drop     ARGV: token. Ends a flight that brought nothing
-- mark     ARGV: life of marks (ms), tags. Returns now
--
-- Time is this server's, the same for all workers.

local call = redis.call
local op = ARGV[1]
local time = call('TIME')
local now = time[1] * 1000 + (time[2] - time[2] % 1000) / 1000
local stamp = string.format('%013.0f', now)

local function land(token)
  if token ~= '' and call('GET', KEYS[4]) == token then call('DEL', KEYS[4]) end
end

if op == 'look' or op == 'poll' then
  local raw = call('GET', KEYS[3])
  if raw then
    local since = string.sub(raw, 1, 13)
    for _, mark in ipairs(call('HMGET', KEYS[1], unpack(ARGV, 4))) do
      -- Same length, digits alone: compared as text.
      if mark and mark >= since then raw = false end
    end
    if raw then return { 1, stamp, string.sub(raw, 14), since } end
    call('DEL', KEYS[3])
  end
  if op == 'poll' then
    return { call('EXISTS', KEYS[4]) == 1 and 3 or 0, stamp, '', stamp }
  end
  local wait = tonumber(ARGV[3])
  if wait == 0 then return { 0, stamp, '', stamp } end
  if call('SET', KEYS[4], ARGV[2], 'NX', 'PX', wait) then return { 2, stamp, '', stamp } end
  return { 3, stamp, '', stamp }
elseif op == 'keep' then
  local token, since, sealed, life, most = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
  land(token)
  local value = string.format('%013.0f', tonumber(since)) .. sealed
  local kept
  if ARGV[7] == '1' then
    kept = call('SET', KEYS[3], value, 'NX', 'PX', life)
  else
    kept = call('SET', KEYS[3], value, 'PX', life)
  end
  if not kept then return 0 end
  call('ZREMRANGEBYSCORE', KEYS[2], '-inf', stamp)
  call('ZADD', KEYS[2], string.format('%.0f', now + life), KEYS[3])
  local left = call('PTTL', KEYS[2])
  if left < life then call('PEXPIRE', KEYS[2], life) end
  local over = call('ZCARD', KEYS[2]) - most
  if over > 0 then
    -- Those that end soonest go first. A policy that lowered its bound gets there entry by entry.
    local popped = call('ZPOPMIN', KEYS[2], math.min(over, 64))
    for at = 1, #popped, 2 do call('DEL', popped[at]) end
  end
  return 1
elseif op == 'drop' then
  land(ARGV[2])
  return 1
elseif op == 'mark' then
  for at = 3, #ARGV do call('HSET', KEYS[1], ARGV[at], stamp) end
  call('PEXPIRE', KEYS[1], ARGV[2])
  return stamp
end
return redis.error_reply('ERR no such operation')
