-- Keep a question, forget some, find the nearest of a place, each in one atomic step. Redis 8 or newer: vector sets.
--
-- KEYS[1]  index: a sorted set of the tenant's questions, each its place and its name, by when it ends (ms)
-- KEYS[2]  place: a vector set of names, whose attribute is what is sealed
--          Both have the tenant as hash tag, so they are in one slot, as are its other places.
-- ARGV[1]  the operation
-- holds    Returns how many questions are in the place
-- near     ARGV: vector, at most how many, least score. Returns names and what is sealed, one after the other
-- put      ARGV: name, vector, sealed, life (ms), most questions of the tenant. Returns 1
-- drop     ARGV: names. Returns how many were there
--
-- Time is this server's.

local call = redis.call
local op = ARGV[1]
local PLACE = 64 -- hexadecimal digits of a place at the end of its key, and of the name behind it in the index
local stem = string.sub(KEYS[2], 1, -PLACE - 1)
local place = string.sub(KEYS[2], -PLACE)
local EFFORT = 200 -- what the search looks at; fewer find less (docs/adr, "vector sets")

local function forget(members)
  for _, member in ipairs(members) do
    call('VREM', stem .. string.sub(member, 1, PLACE), string.sub(member, PLACE + 1))
  end
end

if op == 'holds' then
  return call('VCARD', KEYS[2])
elseif op == 'near' then
  local told, least = {}, tonumber(ARGV[4])
  local found = call('VSIM', KEYS[2], 'FP32', ARGV[2], 'WITHSCORES', 'COUNT', ARGV[3], 'EF', EFFORT)
  for at = 1, #found, 2 do
    if tonumber(found[at + 1]) >= least then
      told[#told + 1] = found[at]
      told[#told + 1] = call('VGETATTR', KEYS[2], found[at]) or ''
    end
  end
  return told
elseif op == 'put' then
  local name, life, most = ARGV[2], tonumber(ARGV[5]), tonumber(ARGV[6])
  local time = call('TIME')
  local now = time[1] * 1000 + (time[2] - time[2] % 1000) / 1000
  local ended = call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now), 'LIMIT', 0, 64)
  forget(ended)
  if #ended > 0 then call('ZREM', KEYS[1], unpack(ended)) end
  call('VADD', KEYS[2], 'FP32', ARGV[3], name, 'BIN', 'SETATTR', ARGV[4])
  call('ZADD', KEYS[1], string.format('%.0f', now + life), place .. name)
  -- Whatever is forgotten by nobody ends with the last of its place.
  for _, key in ipairs(KEYS) do
    if call('PTTL', key) < life then call('PEXPIRE', key, life) end
  end
  local over = call('ZCARD', KEYS[1]) - most
  if over > 0 then
    -- Those that end soonest go first. A policy that lowered its bound gets there question by question.
    local popped = call('ZPOPMIN', KEYS[1], math.min(over, 64))
    for at = 1, #popped, 2 do forget({ popped[at] }) end
  end
  return 1
elseif op == 'drop' then
  local gone = 0
  for at = 2, #ARGV do
    gone = gone + call('VREM', KEYS[2], ARGV[at])
    call('ZREM', KEYS[1], place .. ARGV[at])
  end
  return gone
end
return redis.error_reply('ERR no such operation')
