"""Terms and phrases of each content class with their weights, as linear-time expressions. A table and no engine.

The expressions meet text as `injection.normalise.plain` writes it: lower case, accents folded. None uses
back-references or look-around, and every gap is bounded. The offensive words below are here to be recognised.
"""
# ruff: noqa: E501 - one expression is one line

from typing import Final

from extproc.detectors.content.classes import (
    CLASSES,
    CODE,
    CYBER_ABUSE,
    FINANCIAL_ADVICE,
    HARASSMENT,
    HATE,
    ILLICIT,
    LEGAL_ADVICE,
    MEDICAL_ADVICE,
    MINORS,
    SELF_HARM,
    SEXUAL,
    VIOLENCE,
    WEAPONS,
)

#: Log-odds that a term brings. A strong one is enough alone, a fair one with a doubtful model or any other term,
#: a weak one needs company. Not fitted: what is rare in the data would be fitted to nothing.
STRONG: Final = 4.5
FAIR: Final = 2.5
WEAK: Final = 1.0
#: Taken off by each context that makes a subject harmless: prevention, education, fiction about it, support.
CONTEXT: Final = -2.5

#: Within one sentence, near.
_NEAR: Final = r"[^.!?\n]{0,30}"
#: Asking for a way to do it, or telling someone to produce it.
_ASK: Final = (
    r"\b(?:how (?:to|do|does|can|could|would|might|should) |ways? (?:to|of|for) |methods? (?:for|of|to) |steps? (?:to|for|needed) |"
    r"instructions?|tutorial|guide|recipe|techniques? |strateg(?:y|ies) |plan |teach |explain |describe |give |provide |write |create |make |"
    r"build |develop |design |produce |generate |outline |instruct |help me |i (?:want|need|plan|intend|am going) to |tips )"
)
_MAKE: Final = r"\b(?:mak(?:e|es|ing)|build(?:s|ing)?|construct(?:s|ing)?|creat(?:e|es|ing)|assembl(?:e|es|ing)|synthesi[sz](?:e|es|ing)|manufactur(?:e|es|ing)|produc(?:e|es|ing)|cook(?:s|ing)?|cultur(?:e|ing)|cultivat(?:e|ing)|weaponi[sz](?:e|ing)|convert(?:ing)?|3d.?print(?:ing)?|detonat(?:e|es|ing)|plant(?:ing)?|acquir(?:e|ing)|obtain(?:ing)?|smuggl(?:e|ing)|buy(?:ing)?|purchas(?:e|ing)|recipe for|ingredients for)"
_PERSON: Final = (
    r"(?:him|her|them|you|someone|somebody|anyone|people|a person|(?:my|your|his|their|the|a|an) (?:[a-z]{2,12} )?(?:wife|husband|boss|neighbou?r|mother|father|mom|dad|parents?|"
    r"brother|sister|girlfriend|boyfriend|ex|teacher|classmates?|coworkers?|colleagues?|roommate|friends?|family|child|kids?|baby|man|woman|girl|boy|guy|people|police officers?|cops?|president|politician|victims?))\b"
)
_MINOR: Final = (
    r"\b(?:child(?:ren)?|kids?|minors?|toddlers?|infants?|pre.?teens?|under.?age(?:d)?|little (?:girl|boy)s?|school ?(?:girl|boy)s?|young (?:girl|boy)s?|teen(?:ager)?s?|"
    r"(?:[5-9]|1[0-7])[ -]?(?:yo|y/o|years?[ -]old)|(?:nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen)[ -]years?[ -]old|daughter|son|stepdaughter|niece|loli(?:con)?|shota)\b"
)
_SEXED: Final = r"(?:sex(?:ual(?:ly|i[sz]ed)?|y)?|nud(?:e|es|ity)|naked|porn(?:o|ography|ographic)?|erotic(?:a)?|rap(?:e|es|ed|ing)|molest(?:s|ed|ing)?|fondl(?:e|ed|ing)|orgasm|aroused|penis|vagina|cock|pussy|groom(?:s|ed|ing)?|seduc(?:e|ed|ing)|incest(?:uous)?)\b"
_PEOPLE: Final = (
    r"blacks?|black (?:people|men|women|folk|guys)|white (?:people|men|women|folk|trash)|whites|asians?|chinese|mexicans?|latin[ox]s?|hispanics?|jew(?:s|ish)?|muslims?|islam(?:ic)?|arabs?|hindus?|christians?|catholics?|"
    r"immigrants?|migrants?|refugees?|foreigners?|indians?|africans?|pakistanis?|gypsies|romani?|gays?|lesbians?|homosexuals?|trans(?:gender|sexual)?s?(?: (?:people|women|men))?|queers?|bisexuals?|"
    r"women|females?|girls|feminists?|men|disabled(?: people)?|autistics?|autistic people|fat people|old people|liberals|atheists?"
)
_GROUP: Final = (
    rf"(?:{_PEOPLE}|👳|👲|🧕|🌈|✡|☪|👩|👨|♿|👵|👴)"  # emoji stand for people in what is typed to evade filters
)
_VILE: Final = (
    r"(?:disgust(?:ing)?|filth(?:y)?|scum|vermin|trash|garbage|rats?|cockroach(?:es)?|roaches|parasites?|animals?|apes?|monkeys?|pigs?|dogs?|subhumans?|savages?|inferior|stupid|idiots?|dumb|retard(?:s|ed)?|lazy|dirty|"
    r"evil|criminals?|terrorists?|rapists?|thieves|leeche?s?|plague|cancer|disease[ds]?|pests?|sick(?:en|ening)?|repulsive|gross|smell|stink|worthless|useless|weak|mentally ill|violent|greedy|invad(?:e|ers|ing)|ruin(?:ing|ed)?|destroy(?:ing)?|"
    r"🤢|🤮|💩|🐀|🐁|🐒|🐵|🐷|🐖|🐍|🦍|🐶|🗑|🐛|🪳|🤡|👎)"
)
_ATTACK: Final = r"(?:kill(?:ing|ed|s)?|murder(?:ing|ed|s)?|shoot(?:ing)?|stab(?:bing|bed)?|hang(?:ing|ed)?|gas(?:sing|sed)?|burn(?:ing|ed)?|beat(?:ing)? up|exterminat(?:e|ed|ing)|eradicat(?:e|ed|ing)|annihilat(?:e|ed)|lynch(?:ed|ing)?|execut(?:e|ed)|deport(?:ed)?|wip(?:e|ed) out|die|🔫|🔪|💣|☠)"


def _any(words: str) -> str:
    """Whole words out of alternatives."""
    return rf"\b(?:{words})\b"


_SEXUAL: Final = (
    (
        STRONG,
        _any(
            r"(?:hard|soft)?.?core porn\w*|gangbangs?|blow ?jobs?|hand ?jobs?|rim ?jobs?|deep ?throat\w*|cum ?shots?|cumm?ing (?:on|in|inside|all)|creampies?|bukkake|bdsm|cunnilingus|fellatio|milf|hentai|dildos?|butt ?plugs?|masturbat\w+|jerk(?:ing|ed)? off|fingering (?:her|him|herself|my)|fuck(?:ed|ing)? (?:me|her|him) (?:hard|in|from|until|so)|sexting|camgirls?|onlyfans nudes?"
        ),
    ),
    (
        STRONG,
        r"\b(?:his|her|my|your|the) (?:[a-z]{2,12} ){0,2}(?:cock|dick|pussy|cunt|clit(?:oris)?|nipples?|penis|vagina|erection|boner|tits|asshole|labia|balls deep)\b",
    ),
    (
        STRONG,
        r"\b(?:erotic(?:a)?|smut|pornographic|porn|x.?rated|nsfw|sexually explicit|explicit sex(?:ual)?|steamy)\b",
        r"\b(?:stor(?:y|ies)|scenes?|fiction|fan ?fic\w*|dialogue|text|novels?|content|role.?play|images?|pictures?|videos?|chat)\b",
    ),
    (
        STRONG,
        r"\b(?:write|tell|describe|generate|create|role.?play|draw|show|send)\b",
        r"\b(?:having sex|making love|nudes?|naked (?:woman|women|man|girl|girls|body|pictures?)|erotica|smut|sex scene|orgasm|fetish|bondage|incest)\b",
    ),
    (
        STRONG,
        r"\b(?:thrust(?:s|ed|ing)?|moan(?:s|ed|ing)?|lick(?:s|ed|ing)?|suck(?:s|ed|ing)?|strok(?:e|es|ed|ing)|grind(?:s|ing)?|rid(?:e|es|ing)|penetrat\w+|squeez\w+|fondl\w+|caress\w+)\b",
        r"\b(?:cock|dick|pussy|clit|nipples?|breasts?|tits|boobs|penis|vagina|ass|thighs?|crotch|shaft|inside (?:her|him|me))\b",
    ),
    (
        FAIR,
        _any(
            r"porn(?:o|ography|hub|star)?s?|erotica?|orgasms?|orgasmic|clitoris|ejaculat\w+|nudes|threesomes?|foreplay|kinky|horny|aroused|seductive(?:ly)?|strip ?tease|strippers?|fetish(?:es)?|anal sex|oral sex|vibrators?|lingerie|panties|sex toys?|sex slaves?|sex ?scenes?|incest\w*|prostitutes?|escorts? service|call girls?|brothels?|whorehouse|hooker"
        ),
    ),
    (
        FAIR,
        _any(r"cum|cums|cocks?|pussy|pussies|clit|tits|titties|boobs|dicks?|vagina|penis|boner|butthole|nutsack|jizz"),
    ),
    (
        FAIR,
        _any(
            r"hav(?:e|ing) sex|had sex|sex with|make love|made love|making love|got naked|completely naked|undress(?:ed|es|ing)? (?:me|her|him)|moaned|climax(?:ed|ing)|rock hard|so wet|tongue inside|spread her legs|between her (?:legs|thighs)"
        ),
    ),
    (
        WEAK,
        _any(
            r"sex|sexual(?:ly)?|sexy|naked|nude|nudity|breasts?|nipples?|thighs|bra|moan(?:s|ing)?|lust(?:ful|ed)?|arousal|intimate|virgin|virginity|kiss(?:ed|ing) (?:her|him|me)|bedroom eyes|sensual(?:ly)?|undress\w*|condoms?|hook ?ups?"
        ),
    ),
)
_MINORS: Final = (
    (
        STRONG,
        _any(
            r"child (?:porn\w*|erotica|sexual (?:abuse|exploitation) material|sex abuse images|prostitut\w+)|kiddie porn|kiddy porn|child sexual exploitation|csam|paedophil\w+|pedophil\w+|pedo(?:s)?|lolicon|shotacon|underage (?:sex|porn\w*|girls?|boys?)|jailbait|preteen (?:sex|nudes?|models?)|child grooming|groom(?:ing)? (?:a |the )?(?:child(?:ren)?|minors?|kids?|victims?|teens?)"
        ),
    ),
    (STRONG, _MINOR, r"\b" + _SEXED),
    (STRONG, r"\b" + _SEXED, _MINOR),
    (
        STRONG,
        r"\b(?:abus(?:e|ing)|hurt(?:ing)?|beat(?:ing)?|neglect(?:ing)?|starv(?:e|ing)|tortur(?:e|ing)|exploit(?:ing)?|manipulat(?:e|ing)|kidnap(?:ping)?|abduct(?:ing)?|lur(?:e|ing)|isolat(?:e|ing)|punish(?:ing)?|traumati[sz](?:e|ing)|humiliat(?:e|ing)|inflict(?:ing)?|blackmail(?:ing)?|gaslight(?:ing)?|target(?:ing)?|spy(?:ing)? on|belittl(?:e|ing)|intimidat(?:e|ing)|threaten(?:ing)?|sham(?:e|ing)|physically harm(?:ing)?)\b",
        r"\b(?:a |the |your |my |on )?(?:child(?:ren)?|child's|minors?|kids?|toddlers?|infants?)\b",
    ),
    (
        FAIR,
        r"\b(?:child|children|minors?|kids?|child's)\b",
        r"\b(?:without (?:getting caught|leaving|anyone|their parents|detection|being)|secretly|abuse[ds]?|abusing|neglect(?:ing)?|online predat\w+|trafficking|exploitation|dangerous (?:weapons|drugs)|use drugs|smoke|firearms)\b",
    ),
    (WEAK, _MINOR),
)
_HATE: Final = (
    (
        STRONG,
        _any(
            r"nigg(?:er|ers|az|uh)|n[i1!*]gg[e3*]rs?|ni[g*]{2}ers?|wetbacks?|beaners?|spics?|chinks?|gooks?|kikes?|towel ?heads?|rag ?heads?|sand ?n\w{4,6}|camel ?(?:jockeys?|fuckers?)|pakis?|coons?|porch monkeys?|jungle bunn(?:y|ies)|fagg?ots?|f[a@*]gg?[o0*]ts?|dykes?|trann(?:y|ies)|shemales?|muzzies?|muzrats?|goyim|kaffirs?|gypos?|jiggaboos?|darkies|zipperheads?|untermensch\w*|race traitors?|mud ?(?:shark|blood)s?"
        ),
    ),
    (
        STRONG,
        _any(
            r"white power|white pride|heil hitler|sieg heil|gas the|hitler was right|1488|great replacement|white genocide|ethnic cleansing (?:of|is)|race war|race mixing|racial purity|master race|jewish question|kkk|ku klux klan|lynch(?:ed|ing)? (?:a|the|all|them|him)|death to (?:all )?(?:"
            + _PEOPLE
            + r")"
        ),
    ),
    (
        STRONG,
        r"\b(?:hate|hates|hating|despise|loathe|detest|can ?not stand|cant stand|sick of|fuck|fucking|screw|no|ban|stop|keep out|send back|get rid of|deport|exterminate|eradicate|deserve to)\b.? (?:all |these |those |the |every |any |most |you |stupid |fucking |dirty )*(?:black people|blacks|jews|muslims|gays|immigrants|mexicans|arabs|women|asians|trans(?:gender)? people|trans people|gay people|disabled people|black men|black women|latinos|chinese people|refugees|whites|white people|foreigners|lesbians|homosexuals|👳|🧕|♿|👩🏿|👨🏿)",
    ),
    (
        STRONG,
        r"(?:all |those |these |most |every |the |you )?"
        + _GROUP
        + r" (?:[a-z']{1,8} )?(?:are|is|r|re|were|look like|act like|belong in|should (?:be|all|not|go|never)|need to (?:be|die|leave|go)|deserve (?:to|death|it)|must (?:be|die)|don'?t (?:deserve|belong)|dont (?:deserve|belong)|shouldn'?t|ought to be)\b"
        + _NEAR
        + r"(?:"
        + _VILE
        + r"|"
        + _ATTACK
        + r"|banned|in (?:the|a) (?:kitchen|zoo|cage)|less human|property|slaves?|go back|not (?:human|people|welcome|equal))",
    ),
    (FAIR, _GROUP + r"[^.!?\n]{0,24}" + _VILE),
    (FAIR, _VILE + r"[^.!?\n]{0,16}\b" + _GROUP),
    (FAIR, r"\b" + _ATTACK + r"[^a-z]{1,3}(?:[a-z]{2,8} ){0,2}" + _GROUP),
    (
        FAIR,
        _any(
            r"go back to (?:your (?:own )?country|africa|mexico|where you)|your kind|those people (?:are|should)|sub ?human|feminazis?|illegals|invaders|homos?|fags?|negro(?:es)?|whitey|honk(?:y|ies)|rednecks?|hillbill\w+|white trash|crackers|anchor bab(?:y|ies)|islamists?|jihadis?|mussie|jewish (?:conspiracy|control|media|bankers)|mongoloids?|cripples?|half.?breeds?|nazis?|supremac(?:y|ist|ists)"
        ),
    ),
    (
        STRONG,
        _ASK,
        r"\b(?:hate speech|racis[tm]|sexis[tm]|homophob\w+|transphob\w+|xenophob\w+|islamophob\w+|anti.?semiti\w+|bigot(?:ed|ry)|misogyn\w+|discriminat\w+|stereotyp\w+|white supremac\w+|dehumani[sz]\w+|hateful|hatred|hate symbols|hate crimes?|genocid\w+|prejudice|intoleran\w+|derogatory|slurs?|eugenic\w*|inferior(?:ity)?)\b",
    ),
    (
        FAIR,
        _any(
            r"hate (?:speech|symbols|crimes?|groups?|messages)|hateful|racist (?:jokes?|slurs?|memes?|propaganda)|racial slurs?|negative light|marginali[sz]ed (?:groups?|communit\w+)|why (?:are|do|don't|can't) (?:all |most )?(?:black|asian|jewish|muslim|gay|white|mexican|indian|trans|women|men|females|males)\w*|naturally (?:bad|better|inferior|violent|lazy|worse|less|more)|(?:are|aren't|isn't|is) (?:all |most )?(?:women|females|blacks|jews|muslims|gays|immigrants|asians)"
        ),
    ),
    (WEAK, r"\b" + _GROUP),
    (
        WEAK,
        _any(
            r"racis[tm]|sexis[tm]|slurs?|ghetto|redskins?|yankees?|oreos?|mongrel|bigots?|homophob\w+|jihad|sharia|thugs?|segregat\w+|ethnic|race|religious group|minorit(?:y|ies)|stereotypes?|inferior|discriminat\w+"
        ),
    ),
)
_HARASSMENT: Final = (
    (
        STRONG,
        r"\b(?:you|u|ur|you'?re|your|youre|he'?s|she'?s|he is|she is|they are)\b(?: are| a| an| such| such a| just| just a| nothing but| so| all| is| fucking| stupid| little| dumb| fat| ugly| pathetic| worthless| total| complete| real| big| piece of| bunch of| the){0,5} (?:idiots?|morons?|bitch(?:es)?|cunts?|whores?|sluts?|hoes?|assholes?|retard(?:s|ed)?|dumb ?ass(?:es)?|loser|losers|scumbags?|pieces? of (?:shit|crap|garbage)|douche(?:bag)?s?|dick ?heads?|twats?|wankers?|bastards?|imbeciles?|pathetic|disgusting|ugly|worthless|trash|pigs?|fat(?:so)?|cocksuckers?|motherfuckers?|fuckers?|pussy|pussies|coward|clown|vermin|scum)\b",
    ),
    (
        STRONG,
        _any(
            r"fuck (?:you|u|off|your|yourself|yo|him|her|them|all|outta|ya)|go to hell|shut (?:the fuck )?up (?:you|bitch)|stfu|gtfo|eat shit|suck my|kiss my ass|kill (?:yourself|urself|yourselves)|kys|drop dead|i hope you (?:die|get|rot|burn|suffer)|nobody (?:likes|loves|wants) you|mother ?fuck\w+|cock ?suck\w+|piece of shit|son of a bitch|you suck|screw you|lick my|up your ass|bite me|burn in hell|go die|rot in hell"
        ),
    ),
    (
        STRONG,
        _any(
            r"bitch(?:es|y)?|hoes?|sluts?|cunts?|whores?|skanks?|thots?|dumbass(?:es)?|jackass(?:es)?|shithead|fuckface|fucktard|libtards?|cuck(?:s|old)?|retards?|retarded|asswipes?|douchebags?|wankers?|twats?|arseholes?|assholes?|dipshit|scumbags?"
        ),
    ),
    (
        STRONG,
        r"\b(?:blackmail(?:ing)?|doxx?(?:ing)?|stalk(?:ing)?|cyber.?(?:stalk|bull(?:y|ied|ying))\w*|bull(?:y|ying)|harass(?:ing|ment)?|humiliat(?:e|ing)|threaten(?:ing)?|intimidat(?:e|ing)|gaslight(?:ing)?|body.?sham\w+|defam(?:e|ing|atory)|insult(?:ing|s)?|impersonat(?:e|ing)|mock(?:ing)?|troll(?:ing)?|degrad(?:e|ing)|extort(?:ing)?|ridicul(?:e|ing)|sabotag(?:e|ing)|swat(?:ting)?|sham(?:e|ing)|coerc(?:e|ing))\b",
        r"\b(?:someone|somebody|an? (?:\w+ )?(?:person|individual|employee|coworker|colleague|classmate|celebrity|candidate|woman|group|partner|student|ex)|people|others|individuals?|my (?:\w+ )?(?:ex|boss|coworker|classmates?|neighbou?r|friend|teacher|wife|girlfriend|boyfriend|partner|roommate|colleague)|him|her|them|their|victims?|online|campaign|employees?|activists?|message|e-?mail|letter)\b",
    ),
    (
        STRONG,
        r"\b(?:publicly )?(?:reveal|expose|leak|post|share|find|spread|track)(?:ing)?\b",
        r"\b(?:someone'?s|someone else'?s|a person'?s|her|his|their|ex'?s|individual'?s|victim'?s)\b",
        r"\b(?:personal information|private information|home address|address|nudes?|private photos?|location|secrets?|identity|phone number|rumou?rs)\b",
    ),
    (
        FAIR,
        _any(
            r"fuck(?:s|ed|er|ers|in|ing|en|tard)?|f[*@#u]{1,3}c?k(?:ing|ed|er)?|shit(?:s|ty|head)?|bullshit|ass|asses|dick|pussy|nigga|niggas|nig|bastards?|idiots?|idiotic|morons?|moronic|imbeciles?|stupid(?:ity)?|pathetic|loser|losers|crap|damn|goddamn|trash|freaks?|hypocrites?|liars?|sucks|fag|fags|faggot|queer|dyke|wtf|lmfao|pissed?|fatty|fatso|ugly|hobags?|dumb|clowns?|creep|jerks?|punks?|fools?"
        ),
    ),
    (
        WEAK,
        _any(
            r"hate|hates|shut up|idiot\w*|disgusting|screw|hell|rumou?rs?|bully|bullying|harass\w*|insults?|mock|ridicul\w+|nonsense|ridiculous|ignorant|lies|lying|threats?|garbage|nobody cares|get a life|sissy|wuss|coward\w*"
        ),
    ),
)
_VIOLENCE: Final = (
    (
        STRONG,
        r"\b(?:kill(?:ing|ed|s)?|murder(?:ing|ed|s)?|stab(?:bing|bed|s)?|strangl(?:e|ed|ing)|behead(?:ed|ing)?|decapitat(?:e|ed|ing)|tortur(?:e|ed|ing)|poison(?:ing|ed)?|assassinat(?:e|ed|ing|ion)|lynch(?:ed|ing)?|mutilat(?:e|ed|ing)|dismember(?:ed|ing)?|disembowel\w*|slaughter(?:ed|ing)?|execut(?:e|ed|ing)|massacr(?:e|ed|ing)|suffocat(?:e|ed|ing)|drown(?:ed|ing)?|rap(?:e|ed|ing)|kidnap(?:ped|ping)?|assault(?:ed|ing)?|maim(?:ed|ing)?|choke[ds]?|hurt|attack(?:ing)?|beat(?:ing)? up|shoot(?:ing)?|punch(?:ed|ing)?|torment|bludgeon\w*|incapacitat(?:e|ing)) (?:up |and \w+ |all |off |as many )?(?:of )?"
        + _PERSON,
    ),
    (
        STRONG,
        _any(
            r"mass (?:shooting|murder|killing|casualt\w+)s?|school shooting|serial killers?|terroris[tm] (?:attacks?|acts?|groups?)|commit (?:a )?(?:murder|genocide|terroris\w+|violence|mass)|acts? of (?:violence|terroris\w+)|suicide bomb\w*|death threats?|hit ?man|contract killing|rape (?:fantasy|her|him|drugs?)|date rape|blood ?(?:bath|lust)|gore|gory|snuff film|cannibal\w*|necrophil\w+|torture (?:methods?|techniques?|devices?|chamber)|waterboard\w*|beheadings?|lone wolf attack|jihad against|allahu akbar"
        ),
    ),
    (
        STRONG,
        _ASK,
        r"\b(?:murder|assassinat\w+|torture|kidnap\w*|arson|terroris\w+|riots?|violence|violent|physical(?:ly)? (?:harm|assault|attack|hurt)\w*|assault|bomb(?:s|ing)?|massacre|hostages?|abduct\w*|extremis\w+|radicali[sz]\w+|insurrection|human sacrifice|dog ?fight\w*|animal cruelty|poison someone|domestic abuse|mistreat\w*|dispose of (?:a |the )?(?:dead )?body|dead body|cannibali\w+|lynching)\b",
    ),
    (
        FAIR,
        _any(
            r"i(?:'ll| will| want to| wanna| am going to|'m going to|'m gonna)? (?:kill|murder|stab|shoot|strangle|hurt|beat|punch|slap|destroy) (?:you|him|her|them|all|every)\w*|blood (?:sprayed|splattered|everywhere|gushed|poured|dripping|pooled)|pool of blood|slit (?:his|her|their|your|my) (?:throat|wrist)s?|guts|entrails|corpses?|dead bod(?:y|ies)|severed|mutilated|eyes gouged|skull|stabbed|bullet|gunned down|bled out|bashed|screams? of|tortured|murdered|slaughtered|genocide|execution of (?:the )?(?:prisoners?|people|jews|hostages?)|terrorists?|isis|al.?qaeda|hamas|war crimes?|ethnic cleansing"
        ),
    ),
    (
        WEAK,
        _any(
            r"kill(?:s|ed|ing|er|ers)?|murder(?:s|ed|er|ers|ing)?|blood(?:y)?|dead|die[ds]?|dying|death|violen(?:ce|t)|attack(?:s|ed|ing)?|guns?|shot|shoot(?:ing)?|knife|knives|stab(?:bing)?|bomb(?:s|ed|ing)?|weapons?|war|fight|beat(?:en|ing)?|hurt|pain|screaming|victims?|wounds?|torture|rape[ds]?|assault\w*|brutal\w*|slaughter\w*"
        ),
    ),
)
_SELF_HARM: Final = (
    (
        STRONG,
        r"\b(?:i|i'm|im|ive|i've|me|my)\b",
        r"\b(?:kill(?:ing)? (?:my ?self|me)|end(?:ing)? (?:my|it all|my own) ?(?:life)?|want(?:ed|ing)? to die|wanna die|wish i (?:was|were) dead|suicid(?:e|al)|better off (?:dead|without me)|cut(?:ting)? my ?self|hurt(?:ing)? my ?self|harm(?:ing)? my ?self|hang(?:ing)? my ?self|overdos(?:e|ed|ing)|starv(?:e|ing) my ?self|slit my (?:wrists?|throat)|don'?t want to (?:live|be alive|exist)|no reason to live|take my (?:own )?life|jump(?:ing)? off)\b",
    ),
    (
        STRONG,
        _any(
            r"commit(?:ting|ted)? suicide|suicide (?:methods?|notes?|pacts?|plans?)|(?:painless|easiest|best|quickest|fastest|least painful|effective) (?:way|method|suicide)s? (?:to|of|method)? ?(?:die|dying|kill (?:myself|yourself|oneself)|commit|end (?:my|your) life|suicide)|kill (?:oneself|themselves)|end (?:one's|their) (?:own )?life|self.?harm(?:ing)?|self.?injur\w+|self.?mutilat\w+|pro.?ana|thinspo(?:ration)?|pro.?mia|cut(?:ting)? (?:your|my) (?:wrists?|arms?|thighs?)|noose|lethal dose|how (?:many|much) [a-z]{3,20} (?:pills |tablets )?(?:would|does it take|to|will) (?:it take to )?(?:kill|overdose|die)"
        ),
    ),
    (
        STRONG,
        r"\b(?:promote|encourage|glorif\w+|glamori[sz]\w+|persuad\w+|convinc\w+|romantici[sz]\w+|justif\w+|tell|get|teach)\b",
        r"\b(?:suicid\w+|self.?harm|anorexi\w+|bulimi\w+|eating disorders?|kill themselves|starv\w+|drunk driving|extreme (?:dieting|fasting)|purging)\b",
    ),
    (
        STRONG,
        _any(
            r"(?:stop|hide|avoid) eating (?:entirely|completely|without|from)|eat (?:nothing|only \d+ calories|as little)|purg(?:e|ing) (?:after|without)|mak(?:e|ing) myself (?:throw up|vomit)|lose \d+ (?:pounds|kg|kilos|lbs) in (?:a|one|two|three|\d+) (?:week|day)s?"
        ),
    ),
    (
        FAIR,
        _any(
            r"suicid(?:e|al|es)|anorexi[ac]|bulimi[ac]|cutting my ?self|overdos(?:e|ed|ing)|end it all|razor ?blades?|hopeless(?:ness)?|worthless|hate (?:myself|my life)|can'?t go on|no one would miss me|nobody would (?:care|miss)|tired of (?:living|life)|not worth living"
        ),
    ),
    (
        WEAK,
        _any(
            r"depress(?:ed|ion|ing)|alone|lonely|numb|empty inside|die|dying|pills|bleach|bridge|scars?|razor|starv(?:e|ing)|fasting|hate myself|crying|give up|self.?esteem|calories|purge"
        ),
    ),
)
_WEAPONS: Final = (
    (
        STRONG,
        _MAKE,
        r"\b(?:bombs?|explosives?|explosive devices?|pipe.?bombs?|molotovs?|grenades?|ieds?|dynamite|tnt|rdx|petn|tatp|anfo|c-?4|semtex|thermite|napalm|nitroglycerin|land ?mines?|detonators?|firearms?|guns?|silencers?|suppressors?|ammunition|rifles?|pistols?|handguns?|ghost guns?|machine guns?|rocket launchers?|missiles?|flamethrowers?|weapons?|nerve (?:gas|agents?)|poison(?:ous)? gas|mustard gas|sarin|vx\b|tabun|soman|novichok|ricin|anthrax|botulinum|chlorine gas|phosgene|hydrogen cyanide|cyanide|chloramine|dimethylmercury|smallpox|ebola|plague|pathogens?|bio.?weapons?|dirty bombs?|nuclear (?:bombs?|weapons?|devices?)|uranium|plutonium|toxins?|mass destruction|tear gas|sulfur mustard|lewisite|azide|chemical weapons?|biological (?:weapons?|agents?))\b",
    ),
    (
        STRONG,
        _any(
            r"(?:home ?made|makeshift|improvised|diy|untraceable|3d.?printed) (?:bombs?|explosives?|explosive devices?|guns?|firearms?|weapons?|silencers?|grenades?|nerve gas|rocket launcher|poisons?)|(?:biological|chemical) (?:warfare|weapons?|agents?)|pipe.?bombs?|nail bombs?|molotov cocktails?|nerve (?:gas|agents?)|sarin|novichok|tabun|soman|ricin|tatp|mustard gas|sulfur mustard|dirty bomb|weapons? of mass destruction|bio.?weapons?|weapons.?grade|enriched uranium|anthrax spores|full.?auto(?:matic)? conversion|bump stocks?|auto sear|gunpowder recipe|ghost guns?|explosive (?:compounds?|materials?|devices?)"
        ),
    ),
    (
        STRONG,
        r"\b(?:smuggl\w+|traffic\w*|steal\w*|illegal(?:ly)?|black market|without (?:a )?(?:licen[cs]e|background check|permit|detection|being traced|getting caught|raising)|evad\w+|undetect\w*|modify|sneak\w*|get past|traced)\b",
        r"\b(?:guns?|firearms?|weapons?|ammunition|explosives?|uranium|rifles?|pistols?|silencers?|precursors?)\b",
    ),
    (
        STRONG,
        r"\b(?:guns?|firearms?|weapons?|ammunition|explosives?|uranium|bombs?|anthrax|chlorine|precursors?)\b",
        r"\b(?:smuggl\w+|traffick\w*|stolen|illegal(?:ly)?|black market|dark ?web|without (?:a )?(?:licen[cs]e|background check|permit|detection|being traced|getting caught|raising)|undetect\w*|untraceable|airport security|at home|household|from scratch)\b",
    ),
    (
        FAIR,
        _any(
            r"explosives?|detonat(?:e|es|ed|ing|or|ors)|bombs?|ammunition|firearms?|grenades?|ieds?|anthrax|botulinum|cyanide|thermite|napalm|nitroglycerin|tnt|dynamite|pathogens?|weaponi[sz]\w+|assault rifles?|ar-?15|ak-?47|silencers?|sharpened|switchblades?|brass knuckles|dangerous chemical (?:reaction)?s?|toxic gas(?:es)?|hazardous materials?|poisonous|radioactive|biological agents?|high.?explosive"
        ),
    ),
    (
        WEAK,
        _any(
            r"guns?|weapons?|explosions?|explod\w+|rifles?|pistols?|bullets?|chemicals?|toxic|toxins?|virus(?:es)?|uranium|plutonium|nuclear|ignite|fuses?|fertili[sz]er|ammonium nitrate|household"
        ),
    ),
)
#: In three parts: the engine takes no larger expression.
_CRIMES: Final = (
    r"(?:launder(?:ing)?(?: money)?|money laundering|evad(?:e|ing) (?:tax\w*|law|customs|import|detection)|tax evasion|insider trading|embezzl\w+|counterfeit(?:ing|ers?|ed)?|forg(?:e|ing|ery|ed)|brib(?:e|es|ing|ery)|extort\w*|blackmail|ponzi|pyramid scheme|fraud\w*|scam(?:s|mers?|ming)?|shoplift\w*|burglar\w*|rob(?:bing|bery|beries)?|steal(?:ing)?|theft|carjack\w*|smuggl\w+|traffick(?:ing|ers?)|poach(?:ing|ers?)|arson)",
    r"(?:prostitut\w+|escort service|identity theft|fake (?:ids?|passports?|documents?|identit\w+|prescriptions?|currency|money|invoices?|reviews?|certificates?|diplomas?|charity|news|company|accounts?|websites?|profiles?|jobs?|investments?)|cheat(?:ing)?|plagiari\w+|price.?fix\w*|market manipulation|manipulat\w+|pump.?and.?dump|rig(?:ging|ged)?|tamper(?:ing)?|vandali\w+|sabotag\w+|illegal(?:ly)?|unlawful(?:ly)?|black market|dark ?web|sweatshops?|child labou?r|organ (?:trade|harvest\w+|trafficking)|human trafficking|slave\w*|exploit(?:ing|ation|s)?|deceiv\w+)",
    r"(?:deceptive|mislead\w*|misinformation|disinformation|propaganda|conspiracy theor\w+|false (?:information|claims?|advertising|evidence|rumou?rs)|deepfakes?|unethical(?:ly)?|without (?:paying|consent|permission|getting caught|being caught|detection)|endangered|wiretap\w*|spy(?:ing)? on|break(?:ing)? (?:into|the law)|hot.?wire|pick(?:ing)? (?:a |the )?locks?|drunk|dump(?:ing)?|pollut\w+|evidence|perjury|jury|trespass\w*|gambl\w+|crimes?|criminals?)",
)
_DRUGS: Final = r"(?:meth(?:amphetamine)?s?|crystal meth|cocaine|crack cocaine|heroin|fentanyl|lsd|mdma|ecstasy|ketamine|ghb|pcp|dmt|opioids?|oxycontin|oxycodone|adderall|xanax|steroids|illegal drugs?|psilocybin|magic mushrooms|opium|cannabis|marijuana|weed|narcotics|drugs?)"
_ILLICIT: Final = (
    *((STRONG, _ASK, r"\b" + part + r"\b") for part in _CRIMES),
    (
        STRONG,
        r"\b(?:cook|make|making|produce|producing|synthesi[sz]\w+|manufactur\w+|grow(?:ing)?|smuggl\w+|sell(?:ing)?|buy(?:ing)?|traffick\w*|distribut\w+|deal(?:ing)?|obtain(?:ing)?|inject(?:ing)?|snort(?:ing)?|smok(?:e|ing)|purchas\w+|transport(?:ing)?|get)\b",
        r"\b" + _DRUGS + r"\b",
    ),
    (
        STRONG,
        _any(
            r"without (?:getting caught|being caught|anyone (?:noticing|knowing|finding out)|being (?:detected|traced|suspected|noticed)|leaving (?:a trace|evidence|any)|raising suspicion|their (?:knowledge|consent|permission)|detection|paying for)|get away with|cover (?:up|my tracks)|avoid (?:getting caught|detection|prosecution|being caught|law enforcement|paying taxes)|evade (?:detection|taxes|law enforcement|police|capture)|human trafficking|credit card fraud|identity theft|money laundering|insider trading|ponzi schemes?|counterfeit (?:money|currency|bills?|goods|products)|fake (?:ids?|passports?|driver'?s licen[cs]es?|documents?|prescriptions?)|hot.?wire|bank robbery|shoplift\w*|sex trafficking|revenge porn|dark ?web|black market|tax evasion|fraudulent\w*|hitman|bypass (?:security|drm|regulations|customs|copyright)"
        ),
    ),
    (
        FAIR,
        r"\b(?:use|using|used|promote|promoting|spread|spreading|justify|justifying|manipulate|manipulating|exploit|exploiting|deceive|deceiving|trick|tricking|convince|persuade|persuading|encourage|encouraging)\b",
        r"\b(?:illegal\w*|unethical\w*|harmful\w*|false|fake|fear|hate|biased?|propaganda|misinformation|disinformation|victims?|people|voters?|public opinion|population|others|someone|consumers?|customers?|drugs|violence|political|personal gain|data|advantage|control|conspiracy|elections?|vulnerable|children|weaknesses|loopholes|evade|avoid|unfair\w*)\b",
    ),
    (
        FAIR,
        _any(
            r"methamphetamine|meth|heroin|cocaine|fentanyl|lsd|mdma|crack cocaine|launder\w*|counterfeit\w*|forger(?:y|ies)|embezzl\w+|brib(?:e|es|ery|ing)|extort\w*|smuggl\w+|traffick(?:ing|ers?)|scam(?:s|mers?|ming)?|fraud|shoplift\w*|burglar\w*|robbery|poaching|pirated?|piracy|illegal(?:ly)?|unlawful\w*|misinformation|disinformation|propaganda|deepfakes?|fake news|hoax|conspiracy|plagiari\w+|stolen|steal(?:ing)?|theft"
        ),
    ),
    (
        WEAK,
        _any(
            r"fake|cheat\w*|exploit\w*|manipulat\w+|deceiv\w+|mislead\w*|unethical|loopholes?|secretly|trick(?:s|ing)? (?:people|someone|users)|crimes?|criminals?|drugs?|evade|gambling|casino|police|undetected|convince|deliberately|intentionally|false|persuade"
        ),
    ),
)
_CYBER: Final = (
    (
        STRONG,
        r"\b(?:write|create|creating|develop|developing|build|building|make|making|code|design|generate|deploy|spread|distribut\w+|program|install(?:ing)?|implement|give|provide|buy|disguise|hide|infect\w*|embed)\b",
        r"\b(?:malware|ransomware|spyware|adware|key ?loggers?|trojans?|worms?|computer virus(?:es)?|virus that|polymorphic|root ?kits?|botnets?|backdoors?|exploits?|payloads?|malicious (?:code|software|script|program|links?|apps?|files?|macros?)|phishing|reverse shells?|ddos|fork bomb|logic bomb|cryptojack\w*|credential (?:stealer|harvest\w*)|rats?)\b",
    ),
    (
        STRONG,
        r"\b(?:hack(?:s|ing|ed)?|break(?:ing)? into|breach(?:ing)?|compromis(?:e|es|ing)|infiltrat(?:e|es|ing)|gain(?:ing)? (?:unauthori[sz]ed )?access|crack(?:ing)?|hijack(?:ing)?|intercept(?:ing)?|steal(?:s|ing)?|exfiltrat(?:e|ing)|take (?:over|control)|brute.?forc(?:e|es|ing)|bypass(?:ing)?|clon(?:e|ing)|spoof(?:ing)?|disabl(?:e|ing)|sniff(?:ing)?)\b",
        r"\b(?:accounts?|passwords?|databases?|networks?|systems?|servers?|computers?|phones?|devices?|wi-?fi|e-?mails?|websites?|social media|webcams?|cameras?|routers?|bank(?:s|ing)?|government|credentials|data|atm|cloud|keyless|firewalls?|antivirus|drones?|traffic|power grid|sim cards?|two.?factor|2fa|smart (?:home|lock)s?|confidential|sensitive|personal information|credit card)\b",
    ),
    (
        STRONG,
        _any(
            r"ransomware|key ?loggers?|botnets?|ddos(?:ing)?|denial.?of.?service attacks?|sql injection (?:attacks?|payloads?|to)|zero.?day (?:exploits?|vulnerabilit\w+) (?:to|in|for)|phishing (?:e-?mails?|attacks?|sites?|pages?|websites?|campaigns?|kits?|scams?|links?)|spear.?phishing|malicious (?:code|software|script|payload|program|links?)|unauthori[sz]ed access|rainbow tables?|meterpreter|metasploit payload|remote access trojan|credential stuffing|evad(?:e|es|ing) (?:antivirus|detection|firewalls?)|cyber.?attacks? (?:on|against|that)|hack into|hacks into|sim swap\w*|man.?in.?the.?middle attack|arp spoof\w*|dirty ?cow|buffer overflow (?:exploit|attack)|heap spray\w*|privilege escalation exploit|infostealer|crypto ?jacking"
        ),
    ),
    (
        FAIR,
        _any(
            r"malware|spyware|adware|trojans?|worms?|rootkits?|hack(?:s|ed|ing|ers?)?|exploit (?:a |the |any |known |software |security )*(?:vulnerabilit\w+|weakness\w*|flaws?|bugs?|zero.?day)|exploiting vulnerabilit\w+|phishing|cyber ?(?:crime|attack|criminal|stalk)\w*|backdoors?|payloads?|keystrokes?|brute.?force|spoof(?:ed|ing)?|password crack\w*|shellcode|obfuscat\w+|untraceable|deepfakes?|surveillance|track (?:someone|a person)|spy on|stealth\w*|apt\b|c2 server|command.?and.?control"
        ),
    ),
    (
        WEAK,
        _any(
            r"vulnerabilit(?:y|ies)|exploits?|virus(?:es)?|inject(?:ion)?|attack(?:s|er|ers)?|bypass|antivirus|detect(?:ed|ion)|sensitive (?:data|information)|personal (?:data|information)|passwords?|credentials|victim'?s?|security|firewall|steal|darknet|tor\b|scrap(?:e|ing)"
        ),
    ),
)
_MEDICAL: Final = (
    (
        STRONG,
        r"\b(?:should i|can i|could i|may i|is it safe (?:for me )?to|how (?:much|many|often)|do i need to|would it be ok(?:ay)? (?:if i|to)) (?:[a-z]+ ){0,4}(?:tak(?:e|ing)|stop(?:ping)?|mix(?:ing)?|combin(?:e|ing)|dos(?:e|age)|increase|double|skip|drink|give (?:my|him|her)|use|see a doctor|worry)\b",
        r"\b(?:ibuprofen|paracetamol|acetaminophen|tylenol|aspirin|advil|antibiotics?|amoxicillin|insulin|metformin|antidepressants?|ssris?|zoloft|prozac|lexapro|xanax|statins?|blood (?:pressure|thinners?)|warfarin|medication|medicines?|meds|pills?|tablets?|mg|dose|steroids|birth control|melatonin|supplements?|prescription|antihistamines?|fever|pain|symptoms?|vaccines?|alcohol while)\b",
    ),
    (
        STRONG,
        r"\b(?:i have|i've (?:had|been)|i am having|i'm having|i feel|i get|i keep|my (?:\w+ ){0,2}(?:has|have|hurts?|aches?|is (?:swollen|numb|bleeding|itchy|red)|feels?))\b",
        r"\b(?:chest pain|pain|rash|fever|headaches?|migraines?|dizz(?:y|iness)|lumps?|swelling|swollen|bleeding|blood in|numb(?:ness)?|nausea|vomiting|cough(?:ing)?|sore throat|palpitations|shortness of breath|infection|symptoms?|diarrh\w+|itch(?:y|ing)|fatigue|burning)\b",
    ),
    (
        STRONG,
        _any(
            r"diagnose (?:me|my|this)|what (?:is|could be) wrong with me|(?:do i|might i|could i) have (?:cancer|diabetes|covid|adhd|depression|autism|an? [a-z]+ (?:infection|disorder|disease))|what dos(?:e|age)|(?:interpret|explain|read) my (?:blood (?:test|work)|lab|mri|x-?ray|test) ?(?:results?)?|treat(?:ment)? (?:for )?my|medical advice|second opinion on my|side effects of my|cure my|prescribe me|alternative to my medication|mix [a-z]+ (?:with|and) alcohol"
        ),
    ),
    (
        FAIR,
        _any(
            r"my (?:doctor|symptoms?|diagnosis|medications?|prescription|blood pressure|blood sugar|test results|pregnancy|period|therapist|cholesterol)|dosage|side effects|home remed(?:y|ies)|over.?the.?counter"
        ),
    ),
    (
        WEAK,
        _any(
            r"symptoms?|doctor|medications?|medicine|treatment|pain|infection|disease|dose|pills?|therapy|surgery|pregnan(?:t|cy)|diabetes|cancer|allerg(?:y|ies|ic)|clinic|prescri\w+"
        ),
    ),
)
_LEGAL: Final = (
    (
        STRONG,
        r"\b(?:can i|could i|should i|do i (?:need|have)|am i|may i|what (?:are|happens if|can) (?:my|i)|is it legal (?:for me )?(?:to|if)|would i)\b",
        r"\b(?:sue|suing|lawsuit|liable|liability|lawyer|attorney|solicitor|legal(?:ly)?|rights?|evict(?:ed|ion)?|landlord|tenan(?:t|cy)|custody|divorce|arrest(?:ed)?|charged|prosecut\w+|contract|court|visa|deport(?:ed|ation)?|bail|plead|plea|will|probate|copyright|trademark|patent|small claims|restraining order|fired|wrongful\w*|severance|nda|bankruptcy|guilty|jail)\b",
    ),
    (
        STRONG,
        _any(
            r"legal advice|sue my (?:\w+ )?(?:employer|landlord|neighbou?r|boss|doctor|company|school|bank|ex)|press charges|file (?:for divorce|a lawsuit|a restraining order|a claim against|for custody|charges)|break my lease|draft (?:a|my) (?:will|contract|nda|lease|legal|cease and desist)|represent myself|my (?:landlord|lawyer|attorney|lease|custody|divorce|court (?:date|case|hearing)|visa application|probation|parole|deposition|speeding ticket|employment contract|legal (?:rights|case|options))|grounds for (?:a lawsuit|divorce|appeal)|statute of limitations (?:on|for) (?:my|suing)|i (?:got|was|have been|am being) (?:sued|arrested|evicted|charged|fired)"
        ),
    ),
    (
        FAIR,
        _any(
            r"lawsuit|attorney|lawyers?|solicitor|custody|divorce|small claims|cease and desist|power of attorney|eviction|liable|plea (?:deal|bargain)|non.?compete"
        ),
    ),
    (
        WEAK,
        _any(
            r"legal(?:ly)?|law|laws|rights|court|sue|contract|landlord|tenant|judge|lease|visa|liabilit(?:y|ies)|regulations?"
        ),
    ),
)
_FINANCIAL: Final = (
    (
        STRONG,
        r"\b(?:should i|can i|could i|how (?:much|do|can|should) (?:should )?(?:i|my)|is it (?:a good|worth|better|smart)|what (?:\w+ )?(?:should i|is the best)|which \w+ should i|help me|where should i|when should i|would you)\b",
        r"\b(?:invest(?:ing|ments?)?|stocks?|shares|bonds?|etfs?|index funds?|mutual funds?|crypto(?:currency)?|bitcoin|ethereum|retire(?:ment)?|401 ?\(?k\)?|roth|ira|mortgage|refinanc\w+|portfolio|pension|annuit(?:y|ies)|savings?|credit (?:score|card|report|cards)|debts?|loans?|taxes|tax (?:return|deductions?|burden|liability)|rental property|real estate|buy (?:a )?(?:house|home|gold)|options|hedge|dividends?|bankruptcy|student loans?|budget)\b",
    ),
    (
        STRONG,
        _any(
            r"financial advice|investment advice|my (?:portfolio|401 ?\(?k\)?|roth|ira|pension|mortgage|retirement (?:savings|income|fund|account|plan)|investments?|savings account|credit (?:score|report)|tax(?:es| return| bill| liability)|student loans?|net worth|debt)|stocks? to (?:buy|invest)|best (?:stocks?|crypto\w*|etfs?|funds?|investments?|mortgage|credit cards?|ways? to invest)|pay off my|invest (?:my|\$|€|£|\d)|buy or sell|will (?:bitcoin|the (?:stock )?market|stocks?|housing) (?:go|rise|crash|fall)|stock picks?|financial (?:planner|plan|goals?)|tax.?(?:planning|shelters?|loopholes?|efficient|advantaged|deductions?)"
        ),
    ),
    (
        FAIR,
        _any(
            r"invest(?:ing|ors?|ments?)?|retirement|stock market|real estate|portfolio|mortgages?|cryptocurrenc(?:y|ies)|401 ?\(?k\)?|hedge funds?|tax (?:returns?|haven|reporting|evasion|avoidance)|credit score|debt (?:management|consolidation|collectors?)|capital gains|short selling|offshore accounts?|property values?|financial (?:instruments?|consequences|regulations)"
        ),
    ),
    (
        WEAK,
        _any(
            r"stocks?|bonds?|shares|money|savings?|interest rates?|loans?|debts?|tax(?:es)?|income|budget|bank|credit|fund(?:s)?|profit\w*|market|financial"
        ),
    ),
)
_LANGUAGE: Final = r"(?:python|java|javascript|typescript|node(?:\.?js)?|react|vue|angular|c\+\+|c#|golang|rust|ruby|rails|php|laravel|perl|scala|kotlin|swift|haskell|matlab|fortran|cobol|assembly|verilog|solidity|sql|mysql|postgres(?:ql)?|sqlite|bash|shell|powershell|html5?|css|django|flask|numpy|pandas|pytorch|tensorflow|vba|lua|julia|latex)"
_LINE: Final = r"(?:^|\n)[ \t>]*"
_CODE: Final = (
    # Asking for a piece of it, or to do something with one.
    (
        STRONG,
        r"\b(?:write|implement|create|build|generate|develop|give|show|make|complete|finish|refactor|debug|fix|optimi[sz]e|port|convert|translate|explain|review|rewrite|design|provide|need|want|help|identify|use|add|fill in|how (?:do|can|to|would)|what (?:is|does|are)|find)\b",
        rf"\b(?:{_LANGUAGE} (?:code|scripts?|functions?|programs?|class(?:es)?|methods?|apps?|applications?|quer(?:y|ies)|modules?|snippets?|librar(?:y|ies)|commands?|project|server|api|component|decorator|solution|syntax|documents?)|(?:code|scripts?|functions?|programs?|quer(?:y|ies)|class|method|algorithm|implementation) (?:in|using|with|for) {_LANGUAGE}|(?:in|using) {_LANGUAGE}|(?:this|following|some|given|pieces? of|block of) code|(?:the|my|your) code (?:below|above|block|is|does|in|for|so|and|works?)|(?:html|css|color) code|(?:code|functions?|program) (?:that|which|to|called|named)|regex|regular expression|unit tests?|stored procedure|dockerfile|makefile|(?:rest|graphql) api|api endpoint|pseudo ?code|source code|code snippets?|lines? of code|time complexity|(?:binary )?search algorithm|sorting algorithm|(?:excel|sheets) formula)\b",
    ),
    # A piece of it, by how its lines begin.
    (
        STRONG,
        _LINE
        + r"(?:(?:async )?def [a-z_]\w* ?\(|class [a-z_]\w* ?(?:\(|:|\{|extends |implements )|from [a-z_][\w.]* import |import (?:[a-z_][\w.]*(?: as \w+)?;?\s*\n|\{|[\"'])|#include ?[<\"]|#define |using namespace |package [a-z][\w.]*;|(?:export |async )?function\*? ?\w* ?\(|func \w+\(|(?:pub )?fn \w+\(|(?:const|let|var) (?:mut )?[\w{}, \[\]]+ ?= )",
    ),
    (
        STRONG,
        _LINE
        + r"(?:(?:public|private|protected) (?:static |final |abstract |async |override |class |interface |void |int |string |bool |boolean |double )|<\?php|<!doctype html|#!/|@app\.|@override|(?:struct|interface) \w+ ?\{|(?:int|void|float|double|char|bool) \w+ ?\([^)\n]*\) ?\{|create (?:or replace )?(?:table|view|function|procedure|index) |insert into \w|alter table \w|(?:sudo|pip3?|npm|yarn|cargo|docker|kubectl|git|apt(?:-get)?) (?:install|run|build|push|commit|clone|get|apply|exec|rebase) |selects? [^\n]+ from [^\n ]+ (?:where|join|left|inner|order|group|limit)|for \w+ in [\w.]+\()",
    ),
    (STRONG, rf"```[ \t]?{_LANGUAGE}\b"),
    (
        FAIR,
        r"(?:\w\([^()\n]*\);|\) ?\{|=> ?\{|\breturn [\w.\[\]()+*-]+;?\s*\n|</(?:div|span|html|body|script|p|a|li|ul|table|td|tr|head|button)>|\bself\.\w|\bthis\.\w+[ (=.]|\w->\w|\bstd::|\bconsole\.log\(|\bprintf?\(|\bprintln\b|\bsystem\.out\b|>>> \w|\w\[\w+\] ?[=+]|\w \+= ?\w|\w ?===? ?\w|```)",
    ),
    (
        FAIR,
        _any(
            rf"(?:in|using|with|of) {_LANGUAGE}|{_LANGUAGE} (?:developer|programmer|programming)|leet ?code|compil(?:er|ation) errors?|stack ?trace|stack overflow|segmentation fault|null ?pointer\w*|syntax ?error|type ?error|traceback|rest(?:ful)? api|api endpoint|unit tests?|(?:for|while|nested) loops?|recursive function|linked list|binary (?:search )?tree|hash ?(?:map|table)|time complexity|pull request|code review|git (?:commit|rebase|merge|branch|push)|source code|pseudo ?code|regex|regular expressions?|data ?frames?|software engineer\w*|machine code|open.?source library|programming language|computer program|write code|coding"
        ),
    ),
    (
        WEAK,
        _any(
            rf"{_LANGUAGE}|code|functions?|script|algorithm|program(?:s|ming)?|compil(?:e|er|ing)|bugs?|debug\w*|variables?|arrays?|strings?|integers?|boolean|loops?|json|xml|yaml|api|class(?:es)?|methods?|database|quer(?:y|ies)|parameters?|arguments?|syntax|runtime|exception|git(?:hub)?|docker|kubernetes|frontend|backend|software"
        ),
    ),
)
#: A weight, then expressions.
_Terms = tuple[tuple[float | str, ...], ...]
_BY_CLASS: Final[dict[str, _Terms]] = {
    SEXUAL: _SEXUAL, MINORS: _MINORS, HATE: _HATE, HARASSMENT: _HARASSMENT, VIOLENCE: _VIOLENCE, SELF_HARM: _SELF_HARM,
    WEAPONS: _WEAPONS, ILLICIT: _ILLICIT, CYBER_ABUSE: _CYBER, MEDICAL_ADVICE: _MEDICAL, LEGAL_ADVICE: _LEGAL,
    FINANCIAL_ADVICE: _FINANCIAL, CODE: _CODE,
}  # fmt: skip
#: Places of CLASSES, weight, and the expressions that must all be found near each other.
EXPRESSIONS: Final[tuple[tuple[tuple[int, ...], float, tuple[str, ...]], ...]] = tuple(
    ((place,), float(weight), tuple(map(str, parts)))
    for place, name in enumerate(CLASSES)
    for weight, *parts in _BY_CLASS[name]
)

_OF_REQUESTS: Final = tuple(
    CLASSES.index(name) for name in (MINORS, VIOLENCE, SELF_HARM, WEAPONS, ILLICIT, CYBER_ABUSE, HARASSMENT, HATE)
)
#: Contexts that speak against a class.
CONTEXTS: Final[tuple[tuple[tuple[int, ...], float, tuple[str, ...]], ...]] = (
    # Against it: prevention, detection, law, care.
    (
        _OF_REQUESTS,
        CONTEXT,
        (
            r"\b(?:how (?:to|do|does|can|could|should|may)(?: [a-z]+){0,3}|ways? to|steps? to|help (?:me |us |them |people |someone )?(?:to )?|want to|best practices (?:to|for)|tips (?:to|for|on)|measures to|measures against) (?:[a-z]+ )?(?:prevent|protect|defend|stop|report|detect|fight|combat|counter|mitigate|fix|patch|secure|recogni[sz]e|spot|identify|address|reduce|treat|support|cope with|deal with|respond to|recover from|remove|guard|heal|talk to|raise awareness)\b",
        ),
    ),
    (
        _OF_REQUESTS,
        CONTEXT,
        (
            r"\b(?:prevention|protect(?:ing)? (?:against|from|my|our|your|yourself|children|kids)|defen[cs]e against|awareness|hotline|helpline|support group|victims? of|survivors? of|penetration test(?:ing)? (?:report|scope|contract)|incident response|threat model|security (?:audit|training|review|policy)|owasp|cve-\d{4}|blue team|patch(?:ed|ing)?)\b",
        ),
    ),
    # About it: history, study, fiction as a subject, reporting.
    (
        _OF_REQUESTS,
        CONTEXT,
        (
            r"\b(?:history of|essay (?:on|about)|causes of|effects? of|impact of|definition of|what (?:is|are|was|were) (?:the|a|an|some )?(?:meaning|definition|symptoms|signs|history|causes|difference|penalt(?:y|ies)|laws?)|theme of|themes in|documentary|museum|lecture|research paper|according to the law|statistics (?:on|of|about)|news(?:paper)? (?:article|report) (?:on|about)|summari[sz]e|explain the (?:causes|difference|history))\b",
        ),
    ),
    # Medicine and education about bodies.
    (
        (CLASSES.index(SEXUAL), CLASSES.index(MINORS)),
        CONTEXT,
        (
            r"\b(?:sex(?:ual)? education|sexual health|contracepti\w+|reproductive|gyna?ecolog\w*|urolog\w*|anatomy|cervical|breast (?:cancer|feeding|milk|exam\w*)|std screening|sexually transmitted|puberty|biology|clinical|patients?|pediatric\w*|paediatric\w*|medical|health ?care|nurs(?:e|ing)|penile|prostate|menstrua\w+|testicular)\b",
        ),
    ),
    # Said against hatred, or with affection.
    (
        (CLASSES.index(HATE), CLASSES.index(HARASSMENT)),
        CONTEXT,
        (
            r"\b(?:(?:do not|don'?t|dont|never|cannot|can'?t|didn'?t) (?:hate|deserve|say|call|want to hurt)|stop (?:saying|calling|using)|(?:saying|calling) (?:that |someone |people |me )|(?:is|are) (?:so |just )?(?:wrong|racist|sexist|homophobic|unacceptable|great|wonderful|amazing|awesome|beautiful|equal|welcome|people too|human beings)|not all|i love|love my|proud (?:to be|of)|no one should|nobody should|should (?:never|not) be|deserve (?:respect|rights|equal\w*|to be (?:respected|treated|heard|happy))|support(?:ing)? (?:our|the|my))\b",
        ),
    ),
    # Machines and sports: nobody is hurt.
    (
        (CLASSES.index(VIOLENCE), CLASSES.index(WEAPONS), CLASSES.index(SELF_HARM), CLASSES.index(CYBER_ABUSE)),
        CONTEXT,
        (
            r"\b(?:kill(?:ing)? (?:the |a |all |this |that )?(?:process\w*|jobs?|tasks?|threads?|sessions?|connections?|pods?|containers?|server|port|terminal|time|two birds|weeds|bacteria|germs|mosquito\w*)|(?:shoot(?:ing)?|shot) (?:a |an |the |some )?(?:photo\w*|pictures?|video|film|movie|portraits?|scene|hoops|an e-?mail|me an e-?mail)|execution (?:of (?:a |the )?(?:script|code|program|plan|query|contract|command|function|strategy)|time|plan|order)|bath bombs?|photo ?shoot|nerf|water gun|glue gun|heat gun|massage gun|bomb calorimeter|cherry bomb|deadlines?|dead ?lock|battery dies|zombie process)\b",
        ),
    ),
)
