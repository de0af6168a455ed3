"""English that recipes of other plants use, so that their words split into few tokens."""

INSPECTION_WORDS = """
part surface metal steel aluminium brass copper zinc plastic rubber glass ceramic wood paper foil
film fabric leather coating paint lacquer varnish primer plating chrome nickel anodised galvanised
brushed polished ground milled turned cast forged moulded printed stamped welded soldered glued
bolted riveted machined casting housing cover bracket shaft gear bearing screw bolt nut washer rivet
pin spring ring seal gasket hose tube pipe valve pump motor connector cable wire board chip pad
trace via solder joint lead label bottle cap can box bag tray lid blister tablet capsule vial
syringe needle lens mirror panel sheet strip coil plate block bar rod edge corner face side rim hole
slot groove thread flange rib boss weld seam bead joint gap

good bad damaged defective broken bent cracked chipped scratched dented pitted stained worn burnt
dirty wet rough uneven warped twisted loose missing extra wrong misplaced shifted tilted short open
blocked leaking corroded rusty discoloured faded blurred

defect defects scratch scratches dent dents pit pits pitting stain stains crack cracks burr burrs
chip chips void voids bubble bubbles blister inclusion porosity spatter rust corrosion contamination
dust fibre hair grease oil residue scale mark marks print fingerprint wear abrasion erosion
deformation delamination flaking peeling discolouration haze streak spot spots patch line lines
mousebite spur pin hole crazing rolled-in patches scaling tool mark chatter flash sink warp
misalignment missing part

inspect inspection diagnose report answer describe compare look see find check count measure locate
classify decide accept reject review rework repair scrap hold sort stop clean replace adjust tighten
test verify approve sign release quarantine

where upper lower middle left right centre top bottom front back inside outside near between across
along around above below small medium large thin thick long short round straight curved jagged sharp
soft deep shallow dark bright white black grey red green blue yellow brown colour texture pattern
shape size width height length depth area position

cause causes likely probable because impact handling transport fixture gripper tool wear coolant
washing drying heat treatment assembly feeder sensor operator maintenance lubrication overload
fatigue process setting speed feed pressure temperature humidity none minor major critical low high
cannot tell yes no not is are was has have the a an and or of in on at to from with without one two
three more less than all other others each every same different this that there it its so which what
how many batch lot serial station camera image picture frame light exposure shadow reflection recipe
class classes severity evidence containment corrective action actions root step next
"""
