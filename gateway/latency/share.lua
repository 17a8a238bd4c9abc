-- Folds what one worker saw of backends into the estimates of all, and tells these.
--
-- KEYS     one for each estimate, all with one hash tag
-- ARGV     weights: slower, faster, changed; by how many times is changed; seconds that forget; life in ms;
--          the time in ms, 0 for this server's; most seconds and most strikes that can be; then for each key: answers,
--          their seconds in all, strikes
-- returns  for each key: seconds ('' while nobody knows), strikes, age in ms
--
-- The same arithmetic as `estimates.fold`. This server's clock is the same for every process.

local call = redis.call
local slower, faster, changed = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local times, forget, life = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local time = call('TIME')
local now = tonumber(ARGV[7])
if now == 0 then now = time[1] * 1000 + math.floor(time[2] / 1000) end
local longest, most = tonumber(ARGV[8]), tonumber(ARGV[9])
local told = {}

for i, key in ipairs(KEYS) do
  local answers = tonumber(ARGV[7 + 3 * i])
  local total = tonumber(ARGV[8 + 3 * i])
  local strikes = tonumber(ARGV[9 + 3 * i])
  -- What cannot be is none of ours, and one such key must not end the sharing of all others: it counts as nothing, and
  -- is replaced by what is seen next. NaN is within no bounds.
  local held = redis.pcall('HMGET', key, 'seconds', 'strikes', 'at')
  if held.err then
    call('DEL', key)
    held = {}
  end
  local seconds, struck, at = tonumber(held[1] or nil), tonumber(held[2] or nil), tonumber(held[3] or nil)
  if seconds and not (seconds >= 0 and seconds <= longest) then seconds = nil end
  if not (struck and struck >= 0 and struck <= most and struck % 1 == 0) then struck = 0 end
  if not (at and at >= 0 and at <= now and at % 1 == 0) then at = now end
  if answers > 0 then
    local mean = total / answers
    if seconds then
      local weight = faster
      if mean > seconds then weight = slower elseif mean * times < seconds then weight = changed end
      local kept = math.min((1 - weight) ^ answers, math.exp(-math.max(now - at, 0) / 1000 / forget))
      seconds = mean + (seconds - mean) * kept
    else
      seconds = mean
    end
    struck, at = strikes, now
  elseif strikes > struck then
    struck, at = strikes, now
  end
  if at == now and (answers > 0 or strikes > 0) then
    if seconds then call('HSET', key, 'seconds', string.format('%.6f', seconds)) end
    call('HSET', key, 'strikes', struck, 'at', now)
    call('PEXPIRE', key, life)
  end
  told[#told + 1] = seconds and string.format('%.6f', seconds) or ''
  told[#told + 1] = tostring(struck)
  told[#told + 1] = tostring(math.max(now - at, 0))
end
return told
